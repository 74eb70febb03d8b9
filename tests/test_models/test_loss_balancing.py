"""ABDP: the closed form, what it leaves alone, resuming, ranks (bar M7)."""

import math
import multiprocessing

import pytest
import torch

from mmbmtas.errors import InputError
from mmbmtas.losses import ABDP

TASKS = ('a', 'b', 'c', 'd')
LOSSES = (0.5, 1.0, 2.0, 4.0)


class Head:
    def __init__(self, num_classes, output='classes'):
        self.num_classes = num_classes
        self.output = output


class Model:
    def __init__(self, *heads):
        self.decode_heads = dict(zip(TASKS, heads, strict=False))


def show(balancing, losses=LOSSES, labelled=None):
    values = dict(zip(balancing.tasks, map(torch.tensor, losses), strict=True))
    balancing.observe(values, balancing.tasks if labelled is None else labelled)


def weights(balancing):
    return torch.stack([balancing.weight(task) for task in balancing.tasks])


def relative(classes=(2, 10, 100, 1000), **options):
    balancing = ABDP(TASKS, **options)
    balancing.bind(Model(*map(Head, classes)))
    return balancing


class TestClosedForm:
    @pytest.mark.parametrize(
        ('temperature', 'expected'),
        [
            (1, (0.0993891, 0.16386492, 0.44543104, 3.29131494)),
            (2, (0.39387027, 0.50573944, 0.83382337, 2.26656692)),
            (math.inf, (1, 1, 1, 1)),
        ],
    )
    def test_bare_losses(self, temperature, expected):
        balancing = ABDP(TASKS, temperature, relative=False)
        show(balancing)
        torch.testing.assert_close(weights(balancing), torch.tensor(expected, dtype=torch.float32))

    def test_the_most_difficult_takes_nearly_all(self):
        balancing = ABDP(TASKS, 0.25, relative=False)
        show(balancing)
        assert weights(balancing)[3].item() == pytest.approx(3.99863072, abs=1e-6)

    @pytest.mark.parametrize(
        ('temperature', 'expected'),
        [
            (0.5, (1.38949241, 0.78257339, 0.78257339, 1.0453608)),
            (0.1, (2.95343301, 0.16736769, 0.16736769, 0.71183162)),
        ],
    )
    def test_relative_to_the_uniform_prediction(self, temperature, expected):
        balancing = relative(temperature=temperature)
        show(balancing)
        torch.testing.assert_close(weights(balancing), torch.tensor(expected))

    def test_uniform_predictions_weigh_the_same(self):
        balancing = relative()
        assert weights(balancing).tolist() == [1] * 4
        show(balancing, [math.log(classes) for classes in (2, 10, 100, 1000)])
        torch.testing.assert_close(weights(balancing), torch.ones(4))

    def test_a_constant_loss_is_its_own_average_from_the_start(self):
        balancing = ABDP(TASKS, 1, relative=False)
        show(balancing)
        first = weights(balancing)
        for _ in range(5):
            show(balancing)
        torch.testing.assert_close(weights(balancing), first)

    def test_the_average_forgets(self):
        balancing = ABDP(('a', 'b'), 1, momentum=0.5, relative=False)
        show(balancing, (1.0, 0.0))
        show(balancing, (4.0, 0.0))
        # (0.25 * 1 + 0.5 * 4) / 0.75 = 3
        assert weights(balancing)[0].item() == pytest.approx(2 / (1 + math.exp(-3)), rel=1e-6)

    def test_tasks_without_classes_are_measured_by_their_first_loss(self):
        balancing = ABDP(('a', 'b'), 1)
        balancing.bind(Model(Head(1, 'value'), Head(3, 'normals')))
        show(balancing, (8.0, 0.25))
        assert weights(balancing).tolist() == [1, 1]
        for _ in range(200):
            show(balancing, (4.0, 0.25))
        expected = 2 / (1 + math.exp(0.5))
        assert weights(balancing)[0].item() == pytest.approx(expected, rel=1e-5)

    def test_a_probability_has_two_classes(self):
        balancing = ABDP(('a', 'b'), 1)
        balancing.bind(Model(Head(1, 'probability'), Head(2)))
        show(balancing, (0.3, 0.3))
        assert weights(balancing).tolist() == [1, 1]


class TestMissingLabels:
    def test_a_task_keeps_its_average(self):
        balancing = ABDP(('a', 'b'), 1, relative=False)
        show(balancing, (1.0, 2.0))
        before = weights(balancing)
        show(balancing, (1.0, 0.0), labelled=['a'])
        torch.testing.assert_close(weights(balancing), before)

    def test_a_task_never_seen_weighs_one(self):
        balancing = ABDP(TASKS, 1, relative=False)
        show(balancing, labelled=['a', 'b'])
        assert weights(balancing)[2:].tolist() == [1, 1]
        assert weights(balancing)[:2].sum().item() == pytest.approx(2)

    def test_tasks_one_by_one_are_one_iteration(self):
        joint, apart = (ABDP(TASKS, 1, relative=False) for _ in range(2))
        show(joint)
        with apart.one_iteration():
            for task, loss in zip(TASKS, LOSSES, strict=True):
                apart.observe({task: torch.tensor(loss)}, [task])
        assert torch.equal(weights(joint), weights(apart))

    def test_nothing_is_learnt_in_evaluation(self):
        balancing = ABDP(TASKS, 1, relative=False).eval()
        show(balancing)
        assert weights(balancing).tolist() == [1] * 4


class TestInANetwork:
    def build(self, toys, balancing, tasks=('semseg', 'human_parts', 'edge')):
        torch.manual_seed(0)
        config = toys.branched_config(tasks)
        return toys.build({**config, 'loss_balancing': balancing}).train()

    def train(self, toys, balancing, steps=3, **options):
        model = self.build(toys, balancing, **options)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for seed in range(steps):
            torch.manual_seed(seed)
            batch = toys.batch(model.tasks, (32, 32), seed=seed)
            optimiser.zero_grad()
            model.parse_losses(model(*batch, mode='loss'))[0].backward()
            optimiser.step()
        return model

    def test_no_gradient_through_weights(self, toys):
        model = self.build(toys, {'type': 'ABDP'})
        batch = toys.batch(model.tasks, (32, 32))
        model.parse_losses(model(*batch, mode='loss'))
        assert not weights(model.loss_balancing).allclose(torch.ones(3))
        losses = model(*batch, mode='loss')
        for task in model.tasks:
            assert not losses[f'{task}.weight'].requires_grad
            loss = sum(v for k, v in losses.items() if k.startswith(f'{task}.loss'))
            expected = torch.autograd.grad(
                loss, model.backbone.stem.conv.weight, retain_graph=True
            )[0]
            found = torch.autograd.grad(
                losses[f'{task}.objective'], model.backbone.stem.conv.weight, retain_graph=True
            )[0]
            scaled = losses[f'{task}.weight'] * expected
            torch.testing.assert_close(
                found, scaled, rtol=1e-3, atol=1e-3 * scaled.abs().max().item()
            )

    def test_an_infinite_temperature_is_no_balancing(self, toys):
        plain = self.train(toys, None).state_dict()
        found = self.train(toys, {'type': 'ABDP', 'temperature': math.inf}).state_dict()
        for name, value in plain.items():
            assert torch.equal(value, found[name]), name

    def test_resumed_equals_whole(self, toys):
        whole, half = relative(), relative()
        for step in range(6):
            show(whole, [loss / (step + 1) for loss in LOSSES])
            if step < 3:
                show(half, [loss / (step + 1) for loss in LOSSES])
        resumed = relative()
        resumed.load_state_dict(half.state_dict())
        for step in range(3, 6):
            show(resumed, [loss / (step + 1) for loss in LOSSES])
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize(
    'options',
    [
        {'temperature': 0},
        {'temperature': -1.0},
        {'temperature': math.nan},
        {'temperature': True},
        {'momentum': 1},
        {'relative': 'yes'},
    ],
)
def test_what_means_nothing_is_refused(options):
    with pytest.raises(InputError, match=f'{next(iter(options))}.*ABDP'):
        ABDP(TASKS, **options)


def _run_rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    balancing = relative()
    show(balancing, [1.0 + rank] * 4)
    show(balancing, [1.0 + rank] * 4, labelled=TASKS[: 2 + 2 * rank])  # c, d lack on rank 0
    torch.save(balancing.state_dict(), f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_ranks_agree(tmp_path):
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=_run_rank, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    joint = relative()
    show(joint, [1.5] * 4)
    show(joint, (1.5, 1.5, 2.0, 2.0))
    for name, value in joint.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value)
