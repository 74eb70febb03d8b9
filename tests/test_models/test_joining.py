"""The candidates' tensors lie as one, and stay parameters and buffers of their own."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmbmtas.models.backbones import wide
from mmbmtas.models.backbones.joining import join, lay, put_back

TASKS = ('semseg', 'normals', 'edge')
JOINING = {torch.ops.aten.cat, torch.ops.aten.stack}


class Copies(TorchDispatchMode):
    """Counts how often tensors of a network are copied to be joined, and statistics back."""

    def __init__(self, network):
        super().__init__()
        self.own = {tensor.data_ptr() for tensor in network.state_dict().values()}
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in JOINING | {torch.ops.aten._foreach_copy_}:
            self.count += any(tensor.data_ptr() in self.own for tensor in args[0])
        return func(*args, **(kwargs or {}))


@pytest.fixture
def supernet(toys):
    supernet = toys.supernet(TASKS)
    toys.randomise(supernet)
    return supernet


def copies_of(supernet, dtype=torch.float32):
    """How many tensors are joined by a copy in an iteration of a task."""
    images = torch.randn(2, 3, 48, 48, dtype=dtype)
    with Copies(supernet) as copies:
        features = supernet(images, TASKS[:1])
        sum(m.square().mean() for pair in features.values() for m in pair).backward()
    return copies.count


class TestIterations:
    @pytest.mark.parametrize('phase', ['arch', 'weights'])
    def test_nothing_is_joined_by_copies(self, supernet, phase):
        assert all(map(wide.fits, supernet.layers))
        for parameter in supernet.weights():
            parameter.requires_grad_(phase == 'weights')
        assert copies_of(supernet) == 0

    def test_the_count_sees_copies(self, supernet):
        conv = supernet.layers[2][1].conv[0].conv
        conv.weight = nn.Parameter(conv.weight.clone())
        assert copies_of(supernet) == 1

    @pytest.mark.parametrize(
        'change',
        [
            copy.deepcopy,
            lambda supernet: supernet.double(),
            lambda supernet: supernet.to(memory_format=torch.channels_last),
            lambda supernet: pickle.loads(pickle.dumps(supernet)),
            lambda supernet: copy.deepcopy(nn.Sequential(supernet).double())[0],
            nn.SyncBatchNorm.convert_sync_batchnorm,
        ],
        ids=['copied', 'double', 'channels last', 'pickled', 'a part, copied', 'synchronised'],
    )
    def test_nor_where_it_was_moved_or_copied(self, supernet, change):
        changed = change(supernet)
        assert copies_of(changed, next(changed.parameters()).dtype) == 0

    def test_copies_have_memory_of_their_own(self, supernet):
        twin = copy.deepcopy(supernet)
        before = copy.deepcopy(supernet.state_dict())
        with torch.no_grad():
            for tensor in [*twin.parameters(), *twin.buffers()]:
                tensor.zero_()
        torch.testing.assert_close(dict(supernet.state_dict()), dict(before), rtol=0, atol=0)

    def test_on_a_gpu(self, supernet, pretence):
        with pretence.pretend_gpu():
            supernet.to('cuda')
            pretence.launched.clear()
            supernet(torch.randn(2, 3, 32, 32).to('cuda'), TASKS[:1])
            assert pretence.launched['_foreach_copy_'] == 0
            assert pretence.launched['cat'] == 2  # maps: of the first layer, of the context module


class TestParameters:
    def test_checkpoints_are_as_before(self, supernet, toys):
        """Names, values and size of the file; one of separate tensors loads."""
        separate = {name: value.clone() for name, value in supernet.state_dict().items()}
        files = []
        for state in (supernet.state_dict(), separate):
            files.append(io.BytesIO())
            torch.save(state, files[-1])
        assert files[0].getbuffer().nbytes <= 1.02 * files[1].getbuffer().nbytes
        fresh = toys.supernet(TASKS)
        fresh.load_state_dict(torch.load(io.BytesIO(files[1].getvalue()), weights_only=True))
        assert fresh.state_dict().keys() == separate.keys()
        loaded = fresh.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in separate.items())

    def test_a_candidate_by_itself_reads_what_the_wide_form_wrote(self, supernet):
        """Statistics and counters of each candidate, not of the first alone."""
        layer = supernet.layers[1]
        twin = copy.deepcopy(layer)
        x = torch.randn(2, next(layer.parameters()).shape[1], 8, 8)
        wide.mixture([*layer], [torch.tensor(1 / 3)] * 3, x)
        for candidate in twin:
            candidate(x)
        for name, expected in twin.named_buffers():
            torch.testing.assert_close(layer.get_buffer(name), expected, msg=name)

    def test_steps_with_settings_of_each_parameter(self, supernet):
        """The wide form sees the steps; what has a rate of 0 stays to the bit."""
        twin = copy.deepcopy(supernet)
        layer = supernet.layers[1]
        x = torch.randn(2, next(layer.parameters()).shape[1], 8, 8)
        plain = twin.layers[1]
        weights = [torch.tensor(0.5), torch.tensor(0.2), torch.tensor(0.3)]
        before = copy.deepcopy(layer.state_dict())
        optimizers = [
            torch.optim.SGD(
                [
                    {'params': [*own[0].parameters()], 'lr': 0.0},
                    {'params': [*own[1].parameters()], 'lr': 0.1, 'weight_decay': 0.01},
                    {'params': [*own[2].parameters()], 'lr': 0.2},
                ],
                momentum=0.9,
            )
            for own in (layer, plain)
        ]
        for _ in range(3):
            ours = wide.mixture([*layer], weights, x)
            one_by_one = sum(w * c(x) for w, c in zip(weights, plain, strict=True))
            torch.testing.assert_close(ours, one_by_one, rtol=1e-4, atol=1e-4)
            for optimizer, y in zip(optimizers, (ours, one_by_one), strict=True):
                optimizer.zero_grad()
                y.square().mean().backward()
                optimizer.step()
        for name, parameter in layer.named_parameters():
            assert torch.equal(parameter, before[name]) == name.startswith('0.'), name


class TestJoin:
    @pytest.fixture
    def convs(self):
        layer = nn.ModuleList(nn.Conv2d(4, 6, 3, groups=2) for _ in range(3)).double()
        lay(layer)
        return layer

    def test_values_and_gradients_are_those_of_cat(self, convs):
        given = [conv.weight for conv in convs]
        slopes = torch.randn(18, 2, 3, 3, dtype=torch.float64)
        found = []
        for function in (join, torch.cat):
            y = function(given)
            gradients = torch.autograd.grad((y.sin() * slopes).sum(), given)
            found.append([y.detach().clone(), *gradients])
        torch.testing.assert_close(*found, rtol=0, atol=0)

    def test_gradients_of_gradients(self, convs):
        given = [conv.weight.detach().requires_grad_() for conv in convs]
        assert torch.autograd.gradgradcheck(lambda *x: join(x).pow(3), given)

    def test_what_learns_alone_has_a_gradient(self, convs):
        convs[0].weight.requires_grad_(False)
        join([conv.weight for conv in convs]).sum().backward()
        assert convs[0].weight.grad is None
        assert convs[2].weight.grad.eq(1).all()

    def test_other_choices_are_copied(self, convs):
        weights = [conv.weight for conv in convs]
        for chosen in (weights[:2], weights[::-1], weights[1:], weights[::2]):
            assert torch.equal(join(chosen), torch.cat(chosen))

    def test_scalars_are_joined_and_put_back(self):
        norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(3))
        for laid in (False, True):
            counts = [norm.num_batches_tracked for norm in norms]
            joined = join(counts)
            put_back(joined.add_(1), counts)
            assert [int(count) for count in counts] == [1 + laid] * 3
            lay(norms)

    def test_alike_in_part_alone(self):
        """What differs, is shared or has no memory stays as it is."""
        layer = nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3, dtype=torch.float64)])
        before = copy.deepcopy(layer.state_dict())
        lay(layer)
        assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
        lay(nn.ModuleList(nn.Linear(2, 3, device='meta') for _ in range(2)))
        shared = nn.Linear(2, 3)
        expected = shared.weight.clone()
        layer = nn.ModuleList([shared, shared])
        lay(layer)
        assert torch.equal(join([shared.weight, shared.weight]), torch.cat([expected, expected]))
