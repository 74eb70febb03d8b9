"""Layers computed again in the backward pass: the same numbers, to the bit, in less memory."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.models.backbones.checkpointing import run_checkpointed

TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture
def pair(toys):
    """A network, and the same with checkpoints."""

    def build(config, **options):
        torch.manual_seed(0)
        plain = toys.build(config)
        toys.randomise(plain)
        config = copy.deepcopy(config)
        config['backbone']['with_cp'] = True
        other = toys.build(config)
        other.load_state_dict(plain.state_dict())
        return plain.train(), other.train()

    return build


def small(toys):
    return toys.batch(TASKS, (32, 32))


def count_calls(module):
    """Count the calls of every normalisation."""
    calls = {}
    for name, child in module.named_modules():
        if isinstance(child, _BatchNorm):
            calls[name] = 0

            def count(*_, name=name):
                calls[name] += 1

            child.register_forward_hook(count)
    return calls


def train(model, batch, amp=False, seed=1, **options):
    """Gradients and buffers after a backward pass."""
    torch.manual_seed(seed)
    with torch.autocast('cpu', torch.bfloat16) if amp else nullcontext():
        losses = model(*batch, mode='loss', **options)
    total, _ = model.parse_losses(losses)
    total.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    state = dict(model.named_buffers())
    return {'loss': total.detach(), 'next': torch.rand(3), **found}, state


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize(
    ('encoder', 'phase', 'amp'),
    [
        ('MOBILENET', 'warmup', False),
        ('MOBILENET', 'weights', False),
        ('MOBILENET', 'weights', True),
        ('MOBILENET', 'arch', True),
        ('RESNET', 'arch', False),
    ],
)
def test_supernet(encoder, phase, amp, pair, toys):
    models = pair(toys.search_config(TASKS, getattr(toys, encoder)))
    results, calls = [], []
    for model in models:
        model.backbone.set_routing_mode('warmup' if phase == 'warmup' else 'relaxed')
        for parameter in model.parameters():
            parameter.requires_grad_(phase != 'arch')
        model.backbone.arch_params.requires_grad_(phase == 'arch')
        for module in model.backbone.layers.modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = phase != 'arch'
        calls.append(count_calls(model.backbone.layers))
        results.append(train(model, small(toys), amp, tasks=['normals']))
    for one, other in zip(*results, strict=True):
        assert_equal(one, other)
    assert results[0][0].keys() > {'loss', 'next'}
    assert {*calls[0].values()} == ({0, 1} if phase == 'warmup' else {1})
    # Twice, but for what comes after the last tensor that gradients need.
    assert all(count <= 2 * calls[0][name] for name, count in calls[1].items())
    assert sum(calls[1].values()) > 1.5 * sum(calls[0].values())


def test_a_routing_that_runs_some(pair, toys):
    config = toys.search_config(TASKS)
    config['backbone']['routing'] = {'type': 'ThresholdRouting', 'threshold': 0.3}
    results = [train(model, small(toys), tasks=['edge']) for model in pair(config)]
    for one, other in zip(*results, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize(('encoder', 'amp'), [('MOBILENET', True), ('RESNET', False)])
def test_branched_network(encoder, amp, pair, toys):
    """With dropout, whose mask must be the same when it is computed again."""
    config = toys.branched_config(TASKS, getattr(toys, encoder))
    config['backbone']['dropout'] = 0.5
    results = [train(model, small(toys), amp) for model in pair(config)]
    for one, other in zip(*results, strict=True):
        assert_equal(one, other)
    numbers = {name for name in results[0][1] if name.endswith('num_batches_tracked')}
    assert {results[1][1][name].item() for name in numbers} == {1}


def test_gradients_of_single_losses_one_after_another(pair, toys):
    """As ``JacobianOptimWrapper`` and GradNorm ask for them."""
    found = []
    for model in pair(toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2))):
        torch.manual_seed(1)
        losses = model(*small(toys), mode='loss')
        parameters = [*model.backbone.parameters()]
        found.append(
            [
                torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                for loss in losses.values()
            ]
        )
    for rows in zip(*found, strict=True):
        for one, other in zip(*rows, strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)


def test_in_evaluation_and_without_gradients(pair, toys):
    for config in (toys.search_config(TASKS), toys.branched_config(TASKS)):
        plain, other = pair(config)
        images, _ = small(toys)
        calls = count_calls(other.backbone.layers)
        with torch.no_grad():
            found = [model.eval().encode_decode(images) for model in (plain, other)]
        assert_equal(*found)
        assert max(calls.values()) == (1 if 'layers' in config else max(calls.values()))


def kept(model, batch, **options):
    """Bytes that the forward pass of a backbone keeps for the backward pass, weights aside."""
    images, _ = batch
    own = {p.untyped_storage().data_ptr() for p in model.state_dict().values()}
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = model.backbone(images, **options)
    assert features
    return sum(sizes.values())


def test_little_is_kept(pair, toys):
    for config, options, times in (
        (toys.search_config(TASKS), {'tasks': ['edge']}, 10),
        (toys.branched_config(TASKS), {}, 2),
    ):
        plain, other = (kept(model, small(toys), **options) for model in pair(config))
        assert plain > times * other


def test_statistics_are_restored_where_the_computation_breaks_off():
    """A second computation ends, by an exception, where all is there that gradients need."""
    norm = torch.nn.BatchNorm1d(3)
    norm.register_buffer('count', torch.zeros(()))
    x = torch.randn(4, 3, requires_grad=True)

    def run(x):
        norm.count += 1
        return norm(x.exp()) + 1

    run_checkpointed(run, norm, x).sum().backward()
    assert (norm.count, norm.num_batches_tracked) == (1, 1)
    expected = torch.nn.BatchNorm1d(3)
    expected(x.exp())
    assert torch.equal(norm.running_mean, expected.running_mean)
    assert torch.equal(norm.running_var, expected.running_var)
