"""Learning rates by sharing, the optimisers of a search, EMA and mixed precision."""

import sys

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper

from mmbmtas.engine.optimizers import (
    SearchOptimWrapperConstructor,
    SharedLrOptimWrapperConstructor,
)
from mmbmtas.engine.optimizers.aggregators import AggregatorFactory

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'SGD', 'lr': 0.6, 'momentum': 0.9, 'weight_decay': 1e-4}


@pytest.fixture
def model(toys):
    return toys.build(toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2)))


def settings(wrapper):
    """Each parameter's group."""
    return {p: group for group in wrapper.optimizer.param_groups for p in group['params']}


def expected_rates(model, base=0.6):
    rates = {}
    backbone = model.backbone
    tree = backbone.architecture
    rates |= {p: base / len(tree.tasks) for p in backbone.stem.parameters()}
    for branches, grouping in zip(backbone.layers, tree.groupings, strict=True):
        for branch, group in zip(branches, grouping.groups, strict=True):
            rates |= {p: base / len(group) for p in branch.parameters()}
    return rates | dict.fromkeys(model.decode_heads.parameters(), base)


class TestSharedLr:
    def build(self, model, paramwise_cfg=None, **optimizer):
        return SharedLrOptimWrapperConstructor(
            {'type': 'OptimWrapper', 'optimizer': {**SGD, **optimizer}}, paramwise_cfg
        )(model)

    def test_rates_are_divided_by_the_number_of_tasks(self, model):
        found = settings(self.build(model))
        expected = expected_rates(model)
        assert found.keys() == expected.keys() == {*model.parameters()}
        assert len({*expected.values()}) == 3
        for parameter, rate in expected.items():
            assert found[parameter]['lr'] == pytest.approx(rate)
            assert found[parameter]['weight_decay'] == 1e-4
            assert found[parameter]['momentum'] == 0.9

    def test_equal_settings_make_one_group(self, model):
        groups = self.build(model).optimizer.param_groups
        assert len(groups) == 3
        assert sum(len(group['params']) for group in groups) == len([*model.parameters()])

    def test_one_task_learns_at_the_full_rate(self, toys):
        model = toys.build(toys.branched_config(['depth']))
        assert {group['lr'] for group in self.build(model).param_groups} == {0.6}

    def test_frozen_parameters_stay_frozen(self, model):
        for parameter in model.backbone.stem.parameters():
            parameter.requires_grad_(False)
        before = [p.clone() for p in model.backbone.stem.parameters()]
        wrapper = self.build(model)
        wrapper.update_params(sum(p.sum() for p in model.parameters()))
        for parameter, value in zip(model.backbone.stem.parameters(), before, strict=True):
            assert torch.equal(parameter, value)
        assert not torch.equal(model.backbone.layers[0][0].conv[-1].conv.weight, before[0])

    def test_paramwise_settings_are_kept(self, model):
        found = settings(
            self.build(
                model,
                {
                    'norm_decay_mult': 0.0,
                    'custom_keys': {'decode_heads.edge': {'lr_mult': 10.0, 'decay_mult': 2.0}},
                },
            )
        )
        expected = expected_rates(model)
        for module in model.backbone.modules():
            if hasattr(module, 'running_mean'):
                for parameter in module.parameters(recurse=False):
                    assert found[parameter]['weight_decay'] == 0
        for name, parameter in model.named_parameters():
            mult = 10 if name.startswith('decode_heads.edge') else 1
            assert found[parameter]['lr'] == pytest.approx(mult * expected[parameter])
            if mult == 10:
                assert found[parameter]['weight_decay'] == pytest.approx(2e-4)

    def test_from_a_config_and_behind_a_distributed_wrapper(self, model):
        class Wrapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.module = model

        cfg = {
            'type': 'OptimWrapper',
            'optimizer': SGD,
            'constructor': 'mmbmtas.SharedLrOptimWrapperConstructor',
        }
        for one in (model, Wrapped()):
            found = settings(build_optim_wrapper(one, dict(cfg)))
            for parameter, rate in expected_rates(model).items():
                assert found[parameter]['lr'] == pytest.approx(rate)

    def test_an_optimiser_without_a_rate_is_refused(self, model):
        constructor = SharedLrOptimWrapperConstructor(
            {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD'}}
        )
        with pytest.raises(ValueError, match=r'optimizer\.lr'):
            constructor(model)


class TestSharedLrOfExchanges:
    def build(self, toys, method, **options):
        model = toys.build(toys.exchange_config(method, TASKS, **options))
        return model, settings(
            SharedLrOptimWrapperConstructor({'type': 'OptimWrapper', 'optimizer': SGD})(model)
        )

    @pytest.mark.parametrize('method', ['CrossStitchNetwork', 'NDDRCNN'])
    def test_everything_is_one_tasks_own(self, method, toys):
        model, found = self.build(toys, method)
        assert found.keys() == {*model.parameters()}
        assert {group['lr'] for group in found.values()} == {0.6}

    def test_mtans_encoder_and_refinements_are_shared(self, toys):
        model, found = self.build(toys, 'MTAN')
        shared = ('backbone.stem.', 'backbone.layers.', 'backbone.refinements.')
        for name, parameter in model.named_parameters():
            rate = 0.2 if name.startswith(shared) else 0.6
            assert found[parameter]['lr'] == pytest.approx(rate), name


CFG = {
    'weights': {'optimizer': SGD},
    'arch_params': {'type': 'OptimWrapper', 'optimizer': {'type': 'Adam', 'lr': 0.01}},
}


class TestSearchOptimizers:
    def test_every_parameter_is_in_one(self, toys):
        model = toys.build(toys.search_config(TASKS))
        wrapper = SearchOptimWrapperConstructor(CFG)(model)
        parts = {
            n: {p for g in w.optimizer.param_groups for p in g['params']}
            for n, w in wrapper.items()
        }
        assert parts['arch_params'] == {model.backbone.arch_params}
        assert parts['weights'] == {*model.parameters()} - parts['arch_params']
        assert type(wrapper['arch_params'].optimizer).__name__ == 'Adam'
        assert [g['lr'] for g in wrapper['weights'].optimizer.param_groups] == [0.6]

    @pytest.mark.parametrize(
        ('cfg', 'paramwise'),
        [
            ({'weights': CFG['weights']}, None),
            ({**CFG, 'more': CFG['weights']}, None),
            ({'optimizer': SGD, 'type': 'OptimWrapper'}, None),
            (CFG, {'norm_decay_mult': 0.0}),
        ],
    )
    def test_other_configs_are_refused(self, cfg, paramwise):
        with pytest.raises(ValueError, match=r"expected \['arch_params', 'weights'\]"):
            SearchOptimWrapperConstructor(cfg, paramwise)


class Rates(Hook):
    """Keeps the learning rates of each iteration."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([group['lr'] for group in runner.optim_wrapper.optimizer.param_groups])


@pytest.fixture
def train(make_runner, toys, tmp_path):
    """Train a branched network for four iterations."""

    def run(work_dir='work', wrapper='OptimWrapper', iters=4, model=None, **options):
        model = model or toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2))
        optim_wrapper = {
            'type': wrapper,
            'optimizer': {**SGD, 'lr': 0.006},
            'constructor': 'SharedLrOptimWrapperConstructor',
        }
        loop = {'type': 'IterBasedTrainLoop', 'max_iters': iters}
        runner = make_runner(tmp_path / work_dir, model, loop, optim_wrapper, **options)
        runner.train()
        return runner

    return run


def test_schedulers_keep_the_ratios(train):
    rates = Rates()
    poly = {'type': 'PolyLR', 'power': 0.9, 'eta_min': 0, 'by_epoch': False, 'end': 5}
    train(custom_hooks=[rates], param_scheduler=[poly])
    first = rates.seen[0]
    assert sorted(first) == pytest.approx([0.002, 0.003, 0.006])
    for step, row in enumerate(rates.seen):
        assert row == pytest.approx([rate * (1 - step / 4) ** 0.9 for rate in first])


def test_moving_average_and_resuming(train, tmp_path):
    ema = {'type': 'EMAHook', 'momentum': 0.5}
    runner = train(custom_hooks=[ema])
    saved = torch.load(tmp_path / 'work' / 'iter_4.pth', weights_only=False)
    name = 'backbone.stem.conv.weight'
    average, last = saved['state_dict'][name], saved['ema_state_dict'][f'module.{name}']
    assert torch.equal(runner.model.state_dict()[name], last)
    assert not torch.equal(average, last)
    assert 'backbone._extra_state' in saved['state_dict']
    again = train(custom_hooks=[ema], iters=6, resume=True)
    assert again.iter == 6


def test_mixed_precision(train):
    kinds = set()

    class Look(Hook):
        def before_train(self, runner):
            conv = runner.model.backbone.layers[3][0].conv[0].conv
            conv.register_forward_hook(lambda _, __, output: kinds.add(output.dtype))

    runner = train(wrapper='CpuAmpOptimWrapper', custom_hooks=[Look()])
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}
    assert all(p.isfinite().all() for p in runner.model.parameters())


@pytest.mark.parametrize('method', ['CrossStitchNetwork', 'NDDRCNN', 'MTAN'])
def test_exchanging_encoders_train_average_and_resume(method, train, toys, tmp_path):
    options = {
        'model': toys.exchange_config(method, TASKS),
        'wrapper': 'CpuAmpOptimWrapper',
        'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.5}],
    }
    runner = train(**options, iters=2)
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in runner.model.parameters())
    saved = torch.load(tmp_path / 'work' / 'iter_2.pth', weights_only=False)
    name = next(name for name, _ in runner.model.named_parameters())
    assert not torch.equal(saved['state_dict'][name], saved['ema_state_dict'][f'module.{name}'])
    again = train(**options, iters=3, resume=True)
    assert again.iter == 3


def test_mixed_precision_in_a_search(search_runner, tmp_path):
    runner = search_runner(
        tmp_path,
        loop={'weight_iters': 3, 'warmup_iters': 1},
        optim_wrapper={
            'constructor': 'SearchOptimWrapperConstructor',
            'weights': {'type': 'CpuAmpOptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.001}},
            'arch_params': {
                'type': 'CpuAmpOptimWrapper',
                'optimizer': {'type': 'Adam', 'lr': 0.01},
            },
        },
    )
    runner.train()
    arch_params = runner.model.backbone.arch_params
    assert arch_params.dtype == torch.float32
    assert (arch_params != 0).any()


def test_what_to_install_is_said_where_torchjd_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchjd.aggregation', None)
    with pytest.raises(ValueError, match=r"TorchJD.*pip install 'mmbmtas\[balancing\]'"):
        AggregatorFactory({'type': 'UPGrad'})
