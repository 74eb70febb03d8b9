"""Weights of the tasks' losses: closed forms, labels that lack, checkpoints, searches, refusals."""

import math

import pytest
import torch
from torch import nn

from mmbmtas.losses import DynamicWeightAverage, GradNorm, UncertaintyWeighting
from mmbmtas.losses.balancing import OTHER, losses_by_task, parts_of
from mmbmtas.losses.balancing.grad_norm import grad_norm_step

TASKS = ('semseg', 'normals', 'edge')
ALL = ['UncertaintyWeighting', 'DynamicWeightAverage', 'GradNorm']


def build(toys, balancing, tasks=TASKS, kind='branched', **tree):
    torch.manual_seed(0)
    config = getattr(toys, f'{kind}_config')(tasks, **tree)
    if isinstance(balancing, str):
        balancing = {'type': balancing}
    return toys.build({**config, 'loss_balancing': balancing}).train()


def losses(**values):
    return {task: torch.tensor(float(value)) for task, value in values.items()}


def show(balancing, times=1, **values):
    for _ in range(times):
        balancing.observe(losses(**values), values.keys())


def weights(balancing):
    return [balancing.weight(task).item() for task in balancing.tasks]


class TestParts:
    def test_entries_of_a_task_are_summed(self):
        entries = {
            'a.loss_x': torch.tensor(1.0),
            'a.aux.loss_y': torch.tensor([2.0, 4.0]),
            'a.accuracy': torch.tensor(9.0),
            'b.loss_x': torch.tensor(0.5),
            'loss_resource': torch.tensor(7.0),
            'c.loss_x': torch.tensor(0.25),
        }
        parts = losses_by_task(entries, ['a', 'b'])
        assert parts == {'a': 4, 'b': 0.5, OTHER: 7.25}

    def test_a_total_carries_them(self, toys):
        model = build(toys, None)
        total, log = model.parse_losses(model(*toys.batch(TASKS, (32, 32)), mode='loss'))
        parts = parts_of(total)
        assert parts.keys() == set(TASKS)
        assert all(parts[key.split('.')[0]] == log[key] for key in log if key != 'loss')
        with pytest.raises(ValueError, match='MultiTaskEncoderDecoder'):
            parts_of(torch.tensor(1.0))


class TestUncertainty:
    def test_closed_form(self):
        balancing = UncertaintyWeighting(['a', 'b'])
        with torch.no_grad():
            balancing.log_variances['b'].fill_(math.log(4))
        values = losses(a=3, b=2)
        total = sum(balancing.objective(task, loss) for task, loss in values.items())
        assert total.item() == pytest.approx(3 / 2 + 2 / 8 + math.log(4) / 2)
        assert weights(balancing) == pytest.approx([0.5, 0.125])
        total.backward()  # d/ds = 1/2 - exp(-s) L / 2
        slopes = [p.grad.item() for p in balancing.log_variances.values()]
        assert slopes == pytest.approx([0.5 - 1.5, 0.5 - 0.25])

    def test_the_best_variance_is_the_loss(self):
        balancing = UncertaintyWeighting(['a'])
        sgd = torch.optim.SGD(balancing.parameters(), lr=0.5)
        for _ in range(100):
            sgd.zero_grad()
            balancing.objective('a', torch.tensor(5.0)).backward()
            sgd.step()
        assert weights(balancing) == pytest.approx([1 / 10], rel=1e-4)

    def test_a_task_without_labels_rests(self, toys):
        model = build(toys, 'UncertaintyWeighting')
        total, log = model.parse_losses(model(*toys.batch(TASKS[:2], (32, 32)), mode='loss'))
        total.backward()
        found = {t: p.grad is None for t, p in model.loss_balancing.log_variances.items()}
        assert found == {'semseg': False, 'normals': False, 'edge': True}
        assert 'edge.weight' not in log


def dwa_weights(latest, older, temperature=2.0):
    ratios = [math.exp(new / old / temperature) for new, old in zip(latest, older, strict=True)]
    return [len(ratios) * ratio / sum(ratios) for ratio in ratios]


class TestDynamicWeightAverage:
    def test_closed_form(self):
        balancing = DynamicWeightAverage(['a', 'b', 'c'], window=2)
        for a, b, c in ((4, 1, 2), (6, 3, 2)):
            show(balancing, a=a, b=b, c=c)
        assert weights(balancing) == [1, 1, 1]  # one window has no ratio yet
        show(balancing, times=2, a=2.5, b=2, c=4)
        expected = dwa_weights([2.5, 2, 4], [5, 2, 2])
        assert weights(balancing) == pytest.approx(expected)
        assert sum(expected) == pytest.approx(3)
        show(balancing, a=1, b=1, c=1)
        assert weights(balancing) == pytest.approx(expected)  # until the window ends
        show(balancing, a=1, b=1, c=1)
        assert weights(balancing) == pytest.approx(dwa_weights([1, 1, 1], [2.5, 2, 4]))

    def test_temperature(self):
        balancing = DynamicWeightAverage(['a', 'b'], window=1, temperature=0.5)
        show(balancing, a=2, b=2)
        show(balancing, a=1, b=2)
        assert weights(balancing) == pytest.approx(dwa_weights([1, 2], [2, 2], 0.5))

    def test_a_window_without_a_task_leaves_its_ratio(self):
        balancing = DynamicWeightAverage(['a', 'b'], window=2)
        show(balancing, times=2, a=2, b=4)
        show(balancing, a=1, b=1)
        show(balancing, a=1)  # the window's mean of b is that of one iteration
        assert weights(balancing) == pytest.approx(dwa_weights([1, 1], [2, 4]))
        show(balancing, times=2, a=1)
        assert weights(balancing) == pytest.approx(dwa_weights([1, 1], [1, 4]))

    def test_tasks_one_by_one(self):
        one, other = (DynamicWeightAverage(['a', 'b'], window=2) for _ in range(2))
        for a, b in ((4, 1), (6, 3), (3, 3), (2, 2)):
            show(one, a=a, b=b)
            with other.one_iteration():
                show(other, a=a)
                show(other, b=b)
        assert weights(one) == weights(other) != [1, 1]

    @pytest.mark.parametrize('options', [{'window': 0}, {'temperature': 0.0}])
    def test_refused(self, options):
        with pytest.raises(ValueError, match=r'window .* temperature'):
            DynamicWeightAverage(['a'], **options)


class Shared(nn.Module):
    """A stem ``w = (2, 0)`` of which the losses are linear functions."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.stem = nn.Linear(2, 1, bias=False)
        self.backbone.tasks = ('a', 'b')
        self.backbone.shared_by = lambda: [(self.backbone.stem, 2)]
        with torch.no_grad():
            self.backbone.stem.weight.copy_(torch.tensor([[2.0, 0.0]]))

    def losses(self, scale=(1.0, 1.0)):
        """Gradients (3, 4) and (0, 1) times ``scale``: norms 5 and 1."""
        w = self.backbone.stem.weight[0]
        return {
            'a': scale[0] * (3 * w[0] + 4 * w[1]),
            'b': scale[1] * (w[1] + 4),
        }


class TestGradNorm:
    def test_a_step_by_hand(self):
        """Norms 5 and 1, mean 3, both as fast: a is 2 too large, b 2 too small."""
        model, balancing = Shared(), GradNorm(['a', 'b'], lr=0.3)
        balancing.bind(model)
        values = model.losses()
        balancing.observe(values, values.keys())
        a, b = math.exp(-0.3 * 5 / 3), math.exp(0.3 * 1 / 3)
        assert weights(balancing) == pytest.approx([2 * a / (a + b), 2 * b / (a + b)])
        values['a'].backward()  # the graph is still there

    def test_slow_tasks_get_more(self):
        """At equal norms the task whose loss fell less is above the mean, by its ratio ** alpha."""
        even, norms = torch.ones(2), torch.ones(2)
        found = grad_norm_step(even, norms, torch.tensor([0.9, 0.3]), alpha=1.5, lr=0.1)
        a, b = math.exp(0.1), math.exp(-0.1)
        torch.testing.assert_close(found, torch.tensor([2 * a / (a + b), 2 * b / (a + b)]))
        for norm, grows in ((1.7, True), (1.95, False)):  # 1.5 ** 1.5 = 1.84
            norms = torch.tensor([norm, 2 - norm])
            found = grad_norm_step(even, norms, torch.tensor([0.9, 0.3]), alpha=1.5, lr=0.1)
            assert (found[0] > 1) == grows

    def test_weights_settle_where_norms_are_equal(self):
        w, norms = torch.ones(3), torch.tensor([5.0, 1.0, 0.2])
        for _ in range(3000):
            w = grad_norm_step(w, norms, torch.ones(3), alpha=1.5, lr=0.002)
            assert float(w.sum()) == pytest.approx(3, rel=1e-4)
            assert (w > 0).all()
        pushes = w * norms
        assert float(pushes.max() / pushes.min()) == pytest.approx(1, abs=0.03)

    def test_progress_counts_from_the_first_loss(self):
        model, balancing = Shared(), GradNorm(['a', 'b'], lr=0.3)
        balancing.bind(model)
        for scale in ((1.0, 1.0), (0.5, 0.1)):
            values = model.losses(scale)
            before = torch.tensor(weights(balancing))
            balancing.observe(values, values.keys())
        norms = torch.tensor([5 * 0.5, 1 * 0.1])
        expected = grad_norm_step(before, norms, torch.tensor([0.5, 0.1]), 1.5, 0.3)
        assert weights(balancing) == pytest.approx(expected.tolist())
        assert balancing.initial.tolist() == [6, 4]

    def test_tasks_one_by_one_and_absent_ones(self):
        model, balancing = Shared(), GradNorm(['a', 'b', 'c'], lr=0.3)
        balancing.bind(model)
        with balancing.one_iteration():
            for task, loss in model.losses().items():
                balancing.observe({task: loss}, [task])
                assert weights(balancing) == [1, 1, 1]
        a, b = math.exp(-0.3 * 5 / 3), math.exp(0.3 * 1 / 3)
        assert weights(balancing) == pytest.approx([2 * a / (a + b), 2 * b / (a + b), 1])

    def test_the_layer_is_the_last_that_all_share(self, toys):
        model = build(toys, 'GradNorm', tree=toys.random_tree(TASKS, seed=2))
        groupings = model.backbone.architecture.groupings
        last = max((i for i, g in enumerate(groupings) if g.num_groups == 1), default=None)
        module = model.backbone.stem if last is None else model.backbone.layers[last][0]
        assert model.loss_balancing._parameters_measured == [*module.parameters()]
        model = build(toys, 'GradNorm', kind='search')
        stem = [*model.backbone.stem.parameters()]
        assert model.loss_balancing._parameters_measured == stem
        named = build(toys, {'type': 'GradNorm', 'layer': 'backbone.layers.0.0'})
        first = [*named.backbone.layers[0][0].parameters()]
        assert named.loss_balancing._parameters_measured == first

    def test_refused(self, toys):
        for options, message in (
            ({'alpha': -1.0}, 'alpha'),
            ({'lr': 0.0}, 'lr'),
            ({'layer': 'backbone.nowhere'}, 'nowhere'),
            ({'layer': 'data_preprocessor'}, 'no parameters'),
        ):
            with pytest.raises(ValueError, match=message):
                build(toys, {'type': 'GradNorm', **options})
        model = build(toys, {'type': 'GradNorm', 'layer': 'decode_heads.edge'})
        with pytest.raises(ValueError, match=r"task 'semseg'.*does not use it"):
            model.parse_losses(model(*toys.batch(TASKS, (32, 32)), mode='loss'))


@pytest.mark.parametrize('balancing', ALL)
@pytest.mark.parametrize('kind', ['branched', 'search'])
class TestInTheNetwork:
    def test_total_and_log(self, toys, balancing, kind):
        model = build(toys, balancing, kind=kind)
        entries = model(*toys.batch(TASKS, (32, 32)), mode='loss')
        total, log = model.parse_losses(entries)
        raw = {key.split('.')[0]: value for key, value in log.items() if '.loss' in key}
        assert raw.keys() == set(TASKS)
        start = 0.5 if balancing == 'UncertaintyWeighting' else 1
        assert {float(log[f'{task}.weight']) for task in TASKS} == {start}
        expected = start * sum(raw.values()) + log.get('loss_resource', 0)
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(log['loss'], total)
        total.backward()
        assert all(p.grad is not None for p in model.loss_balancing.parameters())
        assert not any('objective' in key for key in log)

    def test_nothing_is_learnt_in_evaluation(self, toys, balancing, kind):
        model = build(toys, {'type': balancing}, kind=kind)
        model.loss_balancing.eval()
        before = {key: value.clone() for key, value in model.loss_balancing.state_dict().items()}
        model.parse_losses(model(*toys.batch(TASKS, (32, 32)), mode='loss'))
        after = model.loss_balancing.state_dict()
        for key, value in before.items():
            torch.testing.assert_close(after[key], value, rtol=0, atol=0, equal_nan=True)

    def test_a_batch_without_labels_goes_by(self, toys, balancing, kind):
        model = build(toys, balancing, kind=kind)
        total, log = model.parse_losses(model(*toys.batch([], (32, 32)), mode='loss'))
        total.backward()
        assert total == log.get('loss_resource', 0)


def test_another_rank_has_the_labels(toys, monkeypatch):
    """The loss of a task that this rank lacks is that of the other; its 0 is no loss."""
    model = build(toys, {'type': 'DynamicWeightAverage', 'window': 10})
    monkeypatch.setattr(model, 'labelled_tasks', lambda samples: [*TASKS])

    def add_the_other(sums, op='sum'):
        sums += torch.tensor([[3.0, 5.0, 7.0], [1.0, 1.0, 1.0]])

    monkeypatch.setattr('mmengine.dist.get_world_size', lambda: 2)
    monkeypatch.setattr('mmengine.dist.all_reduce', add_the_other)
    entries = model(*toys.batch(['semseg'], (32, 32)), mode='loss')
    assert entries['edge.loss_unlabelled'] == 0
    model.parse_losses(entries)
    own = float(entries['semseg.loss_ce'])
    assert model.loss_balancing.sums.tolist() == pytest.approx([(own + 3) / 2, 5, 7])


@pytest.mark.parametrize(
    ('balancing', 'message'),
    [
        ({'type': 'Gradnorm'}, "type 'Gradnorm': expected one of .*'GradNorm'"),
        ({'type': 'ResourceLoss'}, "type 'ResourceLoss': expected one of"),
        ({'window': 10}, 'type None: expected one of'),
        ({'type': 'GradNorm', 'gamma': 1}, "does not fit GradNorm: .* 'gamma'"),
    ],
)
def test_strange_balancing_is_refused(toys, balancing, message):
    with pytest.raises(ValueError, match=message):
        build(toys, balancing)


def test_without_balancing_nothing_changes(toys):
    model = build(toys, None)
    entries = model(*toys.batch(TASKS, (32, 32)), mode='loss')
    assert entries.keys() == {'semseg.loss_ce', 'normals.loss_l1', 'edge.loss_bce'}
    assert not [key for key in model.state_dict() if 'balancing' in key]
