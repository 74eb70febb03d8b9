"""What a training says when it goes wrong, and that checkpoints of before stay."""

import logging
import math
import os
import re
import signal
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from torch import nn
from torch.utils.data import DataLoader

from mmbmtas.comparison.affinity import measure_dissimilarities, measure_errors
from mmbmtas.engine import failures
from mmbmtas.engine.failures import NonFiniteGradientError
from mmbmtas.engine.hooks import CollapseHook, failure_hooks
from mmbmtas.losses import ResourceLoss

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.005}}


class Break(Hook):
    """Does something to the model before an iteration."""

    def __init__(self, at, what):
        self.at, self.what = at, what

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            self.what(runner.train_loop.runner.model, data_batch)


@pytest.fixture
def search(search_runner, toys, tmp_path):
    """Search: an iteration of warm-up, two iterations of the architecture, three of the weights."""

    def run(*hooks, **options):
        options.setdefault('model', toys.search_config(TASKS, toys.TINY, weight=1.0))
        loop = {'weight_iters': 4, 'warmup_iters': 1}
        runner = search_runner(tmp_path, hooks, loop, **options)
        checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}
        runner.register_hook({**checkpoint, 'max_keep_ckpts': 2, 'priority': 'VERY_LOW'})
        runner.train()
        return runner

    return run


@pytest.fixture
def train(make_runner, toys, tmp_path):
    def run(*hooks, **options):
        model = toys.branched_config(TASKS, toys.TINY)
        loop = {'type': 'IterBasedTrainLoop', 'max_iters': 3}
        runner = make_runner(tmp_path, model, loop, SGD, custom_hooks=[*hooks], **options)
        checkpoint = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}
        runner.register_hook({**checkpoint, 'priority': 'VERY_LOW'})
        runner.train()
        return runner

    return run


def assert_good_checkpoints(folder, last):
    """The checkpoint of before is there, with finite weights, and none of after."""
    paths = sorted(folder.glob('iter_*.pth'), key=lambda path: int(path.stem[5:]))
    assert paths[-1].name == f'iter_{last}.pth'
    state = torch.load(paths[-1], weights_only=False)['state_dict']
    assert all(value.isfinite().all() for value in state.values())


class TestLoss:
    def test_a_broken_label(self, search, tmp_path):
        def spoil(_, batch):
            batch['data_samples'][1].gt_normals.data[0, 5, 5] = math.inf
            batch['data_samples'][1].set_metainfo({'img_path': 'some/image.png'})

        with pytest.raises(FloatingPointError) as caught:
            search(Break(4, spoil))
        message = str(caught.value)
        assert message.startswith('iteration 5 of 6 (weight phase): non-finite loss {')
        assert 'normals.loss_l1' in message
        assert 'Labels are not finite: gt_normals of some/image.png. ' in message
        assert message.endswith(f'{tmp_path}/iter_4.pth was saved before this')
        assert_good_checkpoints(tmp_path, 4)

    def test_broken_weights(self, train):
        def spoil(model, _):
            with torch.no_grad():
                model.decode_heads['edge'].conv_seg.bias.fill_(math.nan)

        with pytest.raises(FloatingPointError) as caught:
            train(Break(0, spoil))
        message = str(caught.value)
        assert message.startswith('iteration 1 of 3: non-finite loss {')
        assert message.endswith('since an earlier step: decode_heads.edge.conv_seg.bias')

    def test_an_overflow_in_the_network(self, search):
        def spoil(model, _):
            with torch.no_grad():
                model.decode_heads['semseg'].low_level_projection.conv.weight.fill_(3e38)

        with pytest.raises(FloatingPointError) as caught:
            search(Break(1, spoil))
        assert str(caught.value).startswith('iteration 2 of 6 (architecture phase): non-finite')
        first = 'is that of decode_heads.semseg.low_level_projection.conv'
        assert f'The first output that is not finite {first}' in str(caught.value)

    def test_the_noise_is_that_of_the_iteration(self, search):
        """Another routing might not break."""
        drawn = []

        def spoil(model, _):
            sample = model.backbone.sample_routing
            model.backbone.sample_routing = lambda task: drawn.append(sample(task)) or drawn[-1]
            with torch.no_grad():
                model.decode_heads['semseg'].low_level_projection.conv.weight.fill_(3e38)

        with pytest.raises(FloatingPointError, match='The first output that is not finite'):
            search(Break(1, spoil))
        half = len(drawn) // 2  # all tasks, and the look for what broke
        assert half > 1
        assert all(map(torch.equal, drawn[:half], drawn[half:]))

    def test_an_overflow_in_the_loss(self, train):
        def spoil(model, _):
            model.decode_heads['edge'].loss_decode.loss_weight = math.inf

        with pytest.raises(FloatingPointError, match='the loss itself overflows'):
            train(Break(1, spoil))


class TestGradient:
    @staticmethod
    def spoil(model, _):
        model.decode_heads['edge'].conv_seg.weight.register_hook(lambda g: g * math.nan)

    def test_in_a_search(self, search, tmp_path):
        gradients = {'type': 'NonFiniteGradientHook'}
        with pytest.raises(NonFiniteGradientError) as caught:
            search(gradients, Break(3, self.spoil))
        message = str(caught.value)
        expected = 'iteration 4 of 6 (weight phase): non-finite gradient of edge in 1 of '
        assert message.startswith(expected)
        assert 'parameters, decode_heads.edge.conv_seg.weight, while the losses are' in message
        assert_good_checkpoints(tmp_path, 3)

    def test_in_training(self, train, tmp_path):
        with pytest.raises(NonFiniteGradientError, match=r'^iteration 2 of 3: .*nt in 1 of \d+ p'):
            train({'type': 'NonFiniteGradientHook'}, Break(1, self.spoil))
        assert_good_checkpoints(tmp_path, 1)

    def test_architecture_parameters(self, search, tmp_path):
        def spoil(model, _):
            model.backbone.arch_params.register_hook(lambda g: g * math.inf)

        with pytest.raises(NonFiniteGradientError, match=r'2 of 6 \(arch.* 1 of 1 .*\.arch_params'):
            search({'type': 'NonFiniteGradientHook'}, Break(1, spoil))
        assert_good_checkpoints(tmp_path, 1)

    def test_steps_that_a_scaler_judges_do_not_count(self):
        weights = torch.nn.Parameter(torch.ones(2))
        weights.grad = torch.tensor([math.inf, 1])
        optimizer = torch.optim.SGD([weights], lr=0.1)
        optimizer.found_inf = torch.ones(())
        optimizer.grad_scale = None  # gradients were unscaled before, to be clipped
        from mmbmtas.engine.hooks import NonFiniteGradientHook

        hook = NonFiniteGradientHook()
        hook._measure(optimizer, (), {})
        assert hook._steps == []
        del optimizer.found_inf, optimizer.grad_scale
        hook._measure(optimizer, (), {})
        assert len(hook._steps) == 1


class Deadly(torch.utils.data.Dataset):
    """Kills the worker that loads one of its images, or raises there."""

    def __init__(self, images, index, error=None):
        self.images, self.index, self.error = images, index, error
        self.metainfo = {'classes': {}}

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index == self.index and torch.utils.data.get_worker_info():
            if self.error:
                raise self.error
            os.kill(os.getpid(), signal.SIGKILL)
        return self.images[index]


class TestWorkers:
    @pytest.fixture
    def images(self, toys, tmp_path):
        class Images:
            def __len__(self):
                return 6

            def __getitem__(self, index):
                sample = toys.sample(TASKS, (32, 32), seed=index)
                return {'inputs': torch.zeros(3, 32, 32), 'data_samples': sample}

        return Images()

    def test_a_dead_worker_is_named(self, train, images):
        loader = {'dataset': Deadly(images, 4), 'num_workers': 2}
        with pytest.raises(ChildProcessError) as caught:
            train(loader=loader)
        message = str(caught.value)
        assert re.match(r'iteration \d of 3: DataLoader worker \(pid', message)
        for hint in ('num_workers', 'shared memory', '--shm-size', '--resume'):
            assert hint in message
        assert isinstance(caught.value.__cause__, RuntimeError)

    @pytest.mark.parametrize('measure', [measure_errors, measure_dissimilarities])
    def test_a_dead_worker_is_named_outside_of_training(self, measure, images):
        loader = DataLoader(Deadly(images, 0), num_workers=1, collate_fn=pseudo_collate)
        network = nn.Conv2d(3, 3, 1)
        arguments = (network, loader) if measure is measure_errors else (network, None, loader)
        network.layers = []
        with pytest.raises(ChildProcessError, match=r'^DataLoader worker \(pid') as caught:
            measure(*arguments)
        assert 'test_dataloader.num_workers=0' in str(caught.value)
        assert '--resume' not in str(caught.value)

    @pytest.mark.parametrize('error', [ConnectionResetError(), EOFError()])
    @pytest.mark.parametrize('dies', [True, False])
    def test_connections_end_before_a_death_is_known(self, error, dies, monkeypatch):
        """A signal tells of it, as torch's handler does."""

        def tell(*_):
            raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')

        def lose_connection():
            with failures.worker_death_explained('train_dataloader', lambda: 'iteration 1 of 3'):
                signal.setitimer(signal.ITIMER_REAL, 0.05 if dies else 0)
                raise error

        monkeypatch.setattr(failures, '_SECONDS_TO_DIE', 5.0 if dies else 0.0)
        before = signal.signal(signal.SIGALRM, tell)
        try:
            with pytest.raises(ChildProcessError if dies else type(error)) as caught:
                lose_connection()
        finally:
            signal.signal(signal.SIGALRM, before)
        told = str(caught.value).startswith('iteration 1 of 3: DataLoader worker (pid 7)')
        assert told if dies else caught.value is error

    def test_what_a_worker_raises_comes_through(self, train, images):
        loader = {'dataset': Deadly(images, 4, KeyError('lost')), 'num_workers': 1}
        with pytest.raises(KeyError, match=r'Caught KeyError in DataLoader worker process 0'):
            train(loader=loader)


class TestCollapse:
    @pytest.fixture
    def warnings(self):
        records = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: records.append(record.getMessage())
        yield handler, records
        MMLogger.get_current_instance().removeHandler(handler)

    def run(self, search_runner, toys, folder, warnings, routing, **options):
        """Search with parameters that hardly move from a routing ``(L, T)``."""
        model = toys.search_config(
            TASKS, toys.TINY, **{'weight': 1.0, **options.pop('resource', {})}
        )

        def route(model, _):
            with torch.no_grad():
                model.backbone.arch_params.zero_().scatter_(
                    2, torch.tensor(routing).expand(3, 3)[..., None], 10.0
                )

        handler, records = warnings
        hooks = [Break(0, route), {'type': 'CollapseHook', 'interval': 1, 'patience': 0.5}]
        loop = {'weight_iters': 4, 'warmup_iters': 1}
        runner = search_runner(folder, hooks, loop, model, **options)
        runner.logger.addHandler(handler)
        runner.train()
        return [message for message in records if 'most probable tree' in message]

    @pytest.mark.parametrize(
        ('routing', 'resource', 'parts'),
        [
            (
                [1, 1, 1],
                {},
                ['all tasks share all layers', 'a smaller', '(now 1)', 'set a budget'],
            ),
            ([1, 0, 2], {}, ['no two tasks share a layer', 'a larger', '(now 1)']),
            ([0, 0, 0], {'target_madds': 5e5}, ['a smaller', 'a larger target_madds (now 500000)']),
            ([2, 2, 2], {'weight': 0}, ['no resource loss', 'optim_wrapper.arch_params.']),
        ],
    )
    def test_is_told_once(self, search_runner, toys, tmp_path, warnings, routing, resource, parts):
        options = {'resource': resource}
        (message,) = self.run(search_runner, toys, tmp_path, warnings, routing, **options)
        assert 'since iteration 2, for 60% of the search after warm-up' in message
        for part in parts:
            assert part in message

    def test_other_trees_are_no_news(self, search_runner, toys, tmp_path, warnings):
        routing = [[0, 0, 0], [0, 1, 1], [0, 1, 2]]
        assert not self.run(search_runner, toys, tmp_path, warnings, routing)

    def test_the_other_trivial_tree_is_not_told_of_again(self, monkeypatch):
        told, info = [], {}
        monkeypatch.setattr(failure_hooks, 'print_log', lambda text, **_: told.append(text))
        backbone = SimpleNamespace()
        loop = SimpleNamespace(
            plan=SimpleNamespace(warmup_iters=0, max_iters=20),
            position=None,
            model=SimpleNamespace(backbone=backbone, resource_loss=ResourceLoss(1.0)),
        )
        hub = SimpleNamespace(runtime_info=info, update_info=info.__setitem__)
        hook = CollapseHook(interval=1, patience=0.2)
        for index in range(20):
            choices = torch.zeros(3, 2, dtype=torch.long)
            choices[:, 1] = index >= 10
            probs = nn.functional.one_hot(choices, 2).float()
            backbone.routing_probs = lambda probs=probs: probs
            hook.after_train_iter(SimpleNamespace(iter=index, train_loop=loop, message_hub=hub), 0)
        assert info['trivial_tree'] == {
            'kind': 'no two tasks share a layer',
            'since': 11,
            'warned': True,
        }
        (message,) = told
        assert 'all tasks share all layers. This has been so since iteration 1,' in message

    @pytest.mark.parametrize('options', [{'interval': 0}, {'patience': 0}, {'patience': 1.1}])
    def test_arguments_are_checked(self, options):
        with pytest.raises(ValueError, match='of CollapseHook: expected an integer of 1 or more'):
            CollapseHook(**options)
