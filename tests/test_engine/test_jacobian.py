"""Aggregated gradients: against sums and hand-computed conflicts, in trees, AMP, accumulation."""

import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from mmbmtas import launch
from mmbmtas.engine.optimizers import (
    AmpJacobianOptimWrapper,
    CpuAmpJacobianOptimWrapper,
    CpuAmpOptimWrapper,
    JacobianOptimWrapper,
    SearchOptimWrapperConstructor,
)
from mmbmtas.engine.optimizers.aggregators import AggregatorFactory
from mmbmtas.losses.balancing import OTHER, carry_parts

pytest.importorskip('torchjd', reason='TorchJD is not installed')
TASKS = ('semseg', 'normals', 'edge')


def sgd(model, lr=0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def jacobian(model, kind='Sum', cls=JacobianOptimWrapper, lr=0.1, **options):
    aggregator = {'type': kind, **options.pop('aggregator', {})}
    return cls(aggregator, optimizer=sgd(model, lr), **options)


@pytest.fixture
def model(toys):
    """A tree whose layers are shared by all, by two, and by one; not in training mode.

    Batch normalisation would make losses depend on how a batch is divided.
    """
    torch.manual_seed(0)
    config = toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2))
    model = toys.build(config).eval()
    toys.randomise(model)
    sizes = {len(g) for grouping in model.backbone.architecture.groupings for g in grouping.groups}
    assert sizes == {1, 2, 3}
    return model


def forward(model, wrapper, data):
    images, samples = data
    with wrapper.optim_context(model):
        losses = model(images, samples, mode='loss')
    return model.parse_losses(losses)[0]


def train(model, wrapper, batches):
    for data in batches:
        wrapper.update_params(forward(model, wrapper, data))
    return dict(model.named_parameters())


def assert_equal(one, other, atol=1e-6):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=atol, msg=name)


class Line(nn.Module):
    """Parameters ``x`` of all tasks, ``y`` of a and b, ``z`` of a; gradients as given."""

    def __init__(self):
        super().__init__()
        for name in 'xyz':
            setattr(self, name, nn.Parameter(torch.zeros(2)))

    def total(self, **gradients):
        """Gradients by task: one for each parameter that the task reaches."""
        parts = {
            task: sum(getattr(self, name) @ torch.tensor(g) for name, g in by_name.items())
            for task, by_name in gradients.items()
        }
        return carry_parts(sum(parts.values()), parts)


def step(model, wrapper, **gradients):
    wrapper.update_params(model.total(**gradients))
    return {name: (-p.detach() / 0.1).tolist() for name, p in model.named_parameters()}


def approx(*values):
    return pytest.approx([*values], abs=1e-5)


class TestAgainstSums:
    @pytest.mark.parametrize('balancing', [None, {'type': 'UncertaintyWeighting'}])
    def test_plain_summation_equals_the_ordinary_wrapper(self, toys, model, balancing):
        if balancing:
            config = toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2))
            model = toys.build({**config, 'loss_balancing': balancing}).eval()
            toys.randomise(model)
        twin = copy.deepcopy(model)
        batches = [toys.batch(TASKS, (32, 32))]
        batches.append(toys.batch(('normals', 'edge'), (32, 32), seed=5))
        batches.append(toys.batch([], (32, 32), seed=5))
        found = train(model, jacobian(model), batches)
        expected = train(twin, OptimWrapper(sgd(twin)), batches)
        assert_equal(found, expected)

    def test_momentum_and_clipping(self, toys, model):
        twin = copy.deepcopy(model)
        batches = [toys.batch(TASKS, (32, 32), seed=seed) for seed in range(2)]
        clip = {'clip_grad': {'max_norm': 0.5}}
        wrapper = JacobianOptimWrapper(
            {'type': 'Sum'}, optimizer=sgd(model, momentum=0.9), **copy.deepcopy(clip)
        )
        ordinary = OptimWrapper(sgd(twin, momentum=0.9), **copy.deepcopy(clip))
        assert_equal(train(model, wrapper, batches), train(twin, ordinary, batches))

    def test_what_belongs_to_no_task_is_added(self):
        model = Line()
        wrapper = jacobian(model, 'Mean')
        total = model.total(a={'x': [4.0, 0.0]}, b={'x': [0.0, 2.0]})
        rest = model.x.sum() + model.z.sum()
        wrapper.update_params(carry_parts(total + rest, {**total.parts, OTHER: rest}))
        assert (-model.x / 0.1).tolist() == approx(3, 2)
        assert (-model.z / 0.1).tolist() == approx(1, 1)
        assert model.x.grad is None


class TestSharing:
    def test_parameters_with_the_same_tasks_are_aggregated_together(self):
        """MGDA's weights follow from whole rows: x has one of three tasks, y of two."""
        model = Line()
        found = step(
            model,
            jacobian(model, 'Mean'),
            a={'x': [3.0, 0.0], 'y': [2.0, 0.0], 'z': [5.0, 1.0]},
            b={'x': [0.0, 3.0], 'y': [0.0, 4.0]},
            c={'x': [3.0, 3.0]},
        )
        assert found == {'x': approx(2, 2), 'y': approx(1, 2), 'z': approx(5, 1)}

    def test_a_conflict_by_hand(self):
        """PCGrad: (2, 0) loses its part against (-1, 1), and the other way round."""
        model = Line()
        found = step(
            model,
            jacobian(model, 'PCGrad'),
            a={'x': [2.0, 0.0], 'z': [1.0, 1.0]},
            b={'x': [-1.0, 1.0]},
        )
        # (2, 0) + 2 / 2 (-1, 1) = (1, 1); (-1, 1) + 2 / 4 (2, 0) = (0, 1)
        assert found['x'] == approx(1, 2)
        assert found['z'] == approx(1, 1)

    def test_a_conflict_is_that_of_all_shared_parameters(self, toys, model):
        """The two tasks' whole gradients in the layers that only they share, projected."""
        rows = {}
        names = {p: name for name, p in model.named_parameters()}
        data = toys.batch(TASKS, (32, 32))
        entries = model(*data, mode='loss')
        for key, loss in entries.items():
            grads = torch.autograd.grad(loss, [*names], retain_graph=True, allow_unused=True)
            rows[key.split('.')[0]] = dict(zip(names, grads, strict=True))
        sets = {p: tuple(task for task in TASKS if rows[task][p] is not None) for p in names}
        (pair,) = {tasks for tasks in sets.values() if len(tasks) == 2}
        shared = [p for p in names if sets[p] == pair]
        one, two = (torch.cat([rows[task][p].flatten() for p in shared]) for task in pair)
        if one @ two > 0:  # let them oppose one another
            two = -two
            key = next(key for key in entries if key.startswith(f'{pair[1]}.'))
            entries[key] = -entries[key]
        product = one @ two
        assert product < 0
        expected = one - product / (two @ two) * two + two - product / (one @ one) * one
        wrapper = jacobian(model, 'PCGrad', lr=1.0)
        before = torch.cat([p.detach().flatten() for p in shared])
        wrapper.update_params(model.parse_losses(entries)[0])
        after = torch.cat([p.detach().flatten() for p in shared])
        torch.testing.assert_close(before - after, expected, rtol=1e-4, atol=1e-5)

    def test_rows_of_absent_tasks_are_dropped(self, toys, model):
        """A mean over two rows, not over three of which one is zero."""
        wrapper = jacobian(model, 'Mean')
        data = toys.batch(('semseg', 'edge'), (32, 32))
        twin = copy.deepcopy(model)
        train(model, wrapper, [data])
        assert {*wrapper._aggregators} == {('edge', 'semseg')}
        head = [*model.decode_heads['normals'].parameters()]
        assert all(
            torch.equal(p, q)
            for p, q in zip(head, twin.decode_heads['normals'].parameters(), strict=True)
        )
        ordinary = OptimWrapper(sgd(twin, lr=0.05))
        train(twin, ordinary, [data])
        stem = [*model.backbone.stem.parameters()]
        for p, q in zip(stem, twin.backbone.stem.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)

    def test_frozen_parameters_stay(self, toys, model):
        stem = [*model.backbone.stem.parameters()]
        before = [p.clone() for p in stem]
        for p in stem:
            p.requires_grad_(False)
        train(model, jacobian(model), [toys.batch(TASKS, (32, 32))])
        assert all(torch.equal(p, q) for p, q in zip(stem, before, strict=True))


class TestAccumulation:
    def test_two_halves_equal_the_whole(self, toys, model):
        images, samples = toys.batch(TASKS, (32, 32), count=4)
        halves = [(images[:2], samples[:2]), (images[2:], samples[2:])]
        twin = copy.deepcopy(model)
        one = jacobian(model, 'UPGrad', accumulative_counts=2)
        before = {name: p.clone() for name, p in model.named_parameters()}
        train(model, one, halves[:1])
        assert_equal(dict(model.named_parameters()), before, atol=0)
        found = train(model, one, halves[1:])
        other = train(twin, jacobian(twin, 'UPGrad'), [(images, samples)])
        assert_equal(found, other, atol=1e-5)

    def test_rows_come_from_all_batches(self):
        """a is in the first, b in the second: together they conflict."""
        model = Line()
        wrapper = jacobian(model, 'PCGrad', accumulative_counts=2)
        step(model, wrapper, a={'x': [4.0, 0.0]})
        found = step(model, wrapper, b={'x': [-2.0, 2.0]})
        assert found['x'] == approx(1, 2)
        assert wrapper.inner_count == 2


class TestMixedPrecision:
    def test_on_a_cpu(self, toys, model):
        """Gradients as the ordinary wrapper's in bfloat16."""
        twin = copy.deepcopy(model)
        kinds = set()
        hook = lambda _, __, output: kinds.add(output.dtype)  # noqa: E731
        handle = model.backbone.layers[3][0].conv[0].conv.register_forward_hook(hook)
        batches = [toys.batch(TASKS, (32, 32))]
        found = train(model, jacobian(model, cls=CpuAmpJacobianOptimWrapper, lr=0.01), batches)
        handle.remove()
        assert kinds == {torch.bfloat16}
        expected = train(twin, CpuAmpOptimWrapper(sgd(twin, lr=0.01)), batches)
        for name, value in found.items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, expected[name], rtol=0.02, atol=2e-3)

    @pytest.fixture
    def scaled(self, monkeypatch):
        """Mixed precision as on a GPU, with a real loss scaler."""
        module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
        monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)

        def make(model, kind, **options):
            wrapper = jacobian(model, kind, AmpJacobianOptimWrapper, **options)
            wrapper.loss_scaler = torch.amp.GradScaler('cpu', init_scale=2.0**12)
            return wrapper

        return make

    def test_scaled_losses(self, scaled):
        """Nash-MTL limits the norm of its result, so it must not see the scale."""
        gradients = {'a': {'x': [2.0, 1.0], 'z': [1.0, 1.0]}, 'b': {'x': [-1.0, 1.0]}}
        for kind in ('PCGrad', 'NashMTL'):
            model, twin = Line(), Line()
            found = step(model, scaled(model, kind), **gradients)
            expected = step(twin, jacobian(twin, kind), **gradients)
            assert found == {name: approx(*value) for name, value in expected.items()}

    @pytest.mark.parametrize(('kind', 'options'), [('UPGrad', {}), ('CAGrad', {'c': 0.5})])
    def test_an_overflow_skips_the_step(self, scaled, kind, options):
        model = Line()
        wrapper = scaled(model, kind, aggregator=options)
        found = step(model, wrapper, a={'x': [2.0, 0.0]}, b={'x': [-1.0, 3e38]})
        assert found == {name: approx(0, 0) for name in 'xyz'}
        assert wrapper.loss_scaler.get_scale() == 2.0**11
        step(model, wrapper, a={'x': [2.0, 0.0]}, b={'x': [-1.0, 1.0]})
        assert (model.x != 0).all()

    @pytest.mark.parametrize('cuda', [False, True])
    def test_the_command_line(self, cuda, monkeypatch):
        from mmengine.config import Config

        monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
        cfg = Config({'optim_wrapper': {'type': 'JacobianOptimWrapper', 'optimizer': {}}})
        for _ in range(2):
            launch.use_amp(cfg)
            expected = 'AmpJacobianOptimWrapper' if cuda else 'CpuAmpJacobianOptimWrapper'
            assert cfg.optim_wrapper.type == expected


ALL = [
    'AlignedMTL',
    'CAGrad',
    'ConFIG',
    'DualProj',
    'ExcessMTL',
    'FairGrad',
    'GradDrop',
    'GradVac',
    'IMTLG',
    'Krum',
    'MGDA',
    'Mean',
    'NashMTL',
    'PCD',
    'PCGrad',
    'Random',
    'Sum',
    'TrimmedMean',
    'UPGrad',
]
OPTIONS = {
    'CAGrad': {'c': 0.5},
    'FairGrad': {'alpha': 1.0},
    'Krum': {'n_byzantine': 0},
    'TrimmedMean': {'trim_number': 0},
}


class TestAggregators:
    @pytest.mark.parametrize('kind', ALL)
    def test_each_makes_a_descent_direction_of_agreeing_gradients(self, kind):
        model = Line()
        third = {'y': [1.0, 1.0]} if kind == 'Krum' else {}  # Krum wants three rows or more
        found = step(
            model,
            jacobian(model, kind, aggregator=OPTIONS.get(kind, {})),
            a={'x': [2.0, 1.0], 'y': [1.0, 1.0], 'z': [1.0, 2.0]},
            b={'x': [1.0, 1.0], 'y': [2.0, 1.0]},
            c={'x': [1.0, 2.0], **third},
        )
        for name in 'xy':
            assert min(found[name]) >= 0
            assert max(found[name]) > 0
        assert found['z'] == approx(1, 2)

    def test_vectors_by_task(self):
        model = Line()
        weights = {'c': 4.0, 'a': 1.0, 'b': 2.0}
        found = step(
            model,
            jacobian(model, 'Constant', aggregator={'weights': weights}),
            b={'x': [1.0, 1.0], 'y': [2.0, 1.0]},
            a={'x': [2.0, 1.0], 'y': [1.0, 1.0]},
            c={'x': [1.0, 2.0]},
        )
        assert found['x'] == approx(2 + 2 + 4, 1 + 2 + 8)
        assert found['y'] == approx(1 + 4, 1 + 2)

    @pytest.mark.parametrize(
        ('cfg', 'message'),
        [
            ({'type': 'Upgrad'}, r"'Upgrad': expected one of .*'UPGrad'"),
            ({}, 'None: expected one of'),
            ({'type': 'CAGrad'}, r"CAGrad with \{\}.*'c'"),
            ({'type': 'UPGrad', 'depth': 3}, 'UPGrad with .*depth'),
            ({'type': 'Aggregator'}, 'expected one of'),
            ('UPGrad', r"aggregator = 'UPGrad': expected a dict whose type is one of .*'UPGrad'"),
        ],
    )
    def test_refused_when_built(self, cfg, message):
        with pytest.raises(ValueError, match=message):
            AggregatorFactory(cfg)

    def test_a_wrapper_without_an_aggregator(self):
        model = Line()
        with pytest.raises(ValueError, match=r"aggregator None: expected one of .*'UPGrad'"):
            build_optim_wrapper(
                model,
                {'type': 'mmbmtas.JacobianOptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.1}},
            )

    def test_a_number_for_a_task_that_is_not_there(self):
        model = Line()
        model.tasks = ('a', 'b')
        numbers = {'a': 1.0, 'b': 2.0, 'edges': 3.0}
        wrapper = jacobian(model, 'Constant', aggregator={'weights': numbers})
        with (
            pytest.raises(ValueError, match=r"weights names \['edges'\], expected some of .*'b'"),
            wrapper.optim_context(model),
        ):
            pass

    def test_a_task_without_a_number(self):
        factory = AggregatorFactory({'type': 'Constant', 'weights': {'a': 1, 'b': 2}})
        with pytest.raises(ValueError, match=r"weights names \['a', 'b'\], but not \['c'\]"):
            factory.build(['a', 'c'])

    def test_too_few_tasks_for_a_method(self):
        model = Line()
        wrapper = jacobian(model, 'Krum', aggregator={'n_byzantine': 1})
        with pytest.raises(ValueError, match=r"Krum cannot aggregate .* \['a', 'b'\]"):
            step(model, wrapper, a={'x': [1.0, 1.0]}, b={'x': [1.0, 1.0]})


class TestRefused:
    def test_models_that_give_one_number(self):
        model = Line()
        with pytest.raises(ValueError, match='MultiTaskEncoderDecoder'):
            jacobian(model).update_params(model.x.sum())

    def test_gradients_that_are_not_finite(self):
        model = Line()
        with pytest.raises(FloatingPointError, match=r"gradient of \['b'\]"):
            step(model, jacobian(model), a={'x': [1.0, 1.0]}, b={'x': [float('inf'), 1.0]})

    def test_sharded_models(self, monkeypatch):
        monkeypatch.setattr('mmbmtas.engine.optimizers.jacobian.is_model_wrapper', lambda m: True)
        model = Line()
        with (
            pytest.raises(ValueError, match='Line does not give'),
            jacobian(model).optim_context(model),
        ):
            pass

    @pytest.mark.parametrize(
        ('name', 'options', 'message'),
        [
            ('arch_params', {}, 'arch_params: every task has'),
            ('weights', {'accumulative_counts': 2}, r'accumulative_counts=1, found 2'),
        ],
    )
    def test_in_a_search(self, name, options, message):
        model = Line()
        model.backbone = nn.Module()
        model.backbone.arch_params = nn.Parameter(torch.zeros(1))
        model.backbone.architecture_parameters = lambda: [model.backbone.arch_params]
        plain = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
        cfg = {'weights': plain, 'arch_params': plain}
        aggregator = {'type': 'Sum'}
        cfg[name] = {**plain, 'type': 'JacobianOptimWrapper', 'aggregator': aggregator, **options}
        with pytest.raises(ValueError, match=message):
            SearchOptimWrapperConstructor(cfg)(model)


def test_from_a_config_with_rates_by_sharing(toys):
    model = toys.build(toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2)))
    wrapper = build_optim_wrapper(
        model,
        {
            'type': 'mmbmtas.JacobianOptimWrapper',
            'aggregator': {'type': 'PCGrad'},
            'optimizer': {'type': 'SGD', 'lr': 0.6},
            'constructor': 'mmbmtas.SharedLrOptimWrapperConstructor',
        },
    )
    assert type(wrapper) is JacobianOptimWrapper
    assert len(wrapper.optimizer.param_groups) == 3


def test_aggregation_in_a_search(toys, search_runner, tmp_path):
    """The weights step once an iteration, on what an ordinary sum would give."""

    class Watch(Hook):
        def __init__(self):
            self.steps = []

        def before_train(self, runner):
            for name in ('weights', 'arch_params'):
                runner.optim_wrapper[name].optimizer.register_step_post_hook(
                    lambda *_, name=name: self.steps.append(name)
                )

    watch = Watch()
    plain = {'type': 'OptimWrapper', 'optimizer': {'type': 'Adam', 'lr': 0.01}}
    runner = search_runner(
        tmp_path,
        [watch],
        {'weight_iters': 3, 'warmup_iters': 1},
        optim_wrapper={
            'constructor': 'SearchOptimWrapperConstructor',
            'weights': {
                'type': 'JacobianOptimWrapper',
                'aggregator': {'type': 'UPGrad'},
                'optimizer': {'type': 'SGD', 'lr': 0.005},
            },
            'arch_params': plain,
        },
    )
    runner.train()
    phases = [runner.train_loop.plan.position(i).phase for i in range(5)]
    assert watch.steps == ['arch_params' if p == 'arch' else 'weights' for p in phases]
    sets = {*runner.optim_wrapper['weights']._aggregators}
    assert sets == {tuple(sorted(TASKS))}  # the stem in warm-up, all candidates later
    assert all(p.isfinite().all() for p in runner.model.parameters())
