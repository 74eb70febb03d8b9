"""``save_best`` is settled before training begins."""

from types import SimpleNamespace

import pytest
from mmengine.evaluator import BaseMetric

from mmbmtas.engine.hooks import CheckpointHook
from mmbmtas.evaluation import MultiTaskEvaluator
from mmbmtas.evaluation.metrics import DepthMetric, NormalsMetric, SemSegMetric

NAMES = ['semseg/mIoU', 'depth/rmse', 'normals/mean']


class Own(BaseMetric):
    """A metric that does not say what it reports."""

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        return {'score': 1.0}


@pytest.fixture
def start():
    """Start a training of 8 iterations with a hook."""

    def start(loop=None, metrics=None, **options):
        hook = CheckpointHook(by_epoch=False, interval=4, **options)
        metrics = metrics or [SemSegMetric(3), DepthMetric(), NormalsMetric()]
        train_loop = SimpleNamespace(**{'val_begin': 1, 'max_iters': 8, **(loop or {})})
        val_loop = SimpleNamespace(evaluator=MultiTaskEvaluator(metrics))
        hook.before_run(SimpleNamespace(train_loop=train_loop, val_loop=val_loop))
        return hook

    return start


@pytest.mark.parametrize('name', ['mIoU', 'semseg/mIou', 'edge/pixel_AP', ['depth/rmse', 'loss']])
def test_unknown_metrics(start, name):
    with pytest.raises(ValueError, match=r"save_best = '.*the metrics .*'semseg/mIoU', 'depth/rms"):
        start(save_best=name)


def test_directions_are_those_of_the_metrics(start):
    assert start(save_best=NAMES).rules == ['greater', 'less', 'less']
    hook = start(save_best=NAMES)
    assert hook.is_better_than['depth/rmse'](0.1, 0.2)
    assert hook.is_better_than['semseg/mIoU'](0.2, 0.1)


def test_what_is_stated_counts_before_them(start):
    assert start(save_best='depth/rmse', rule='greater').rules == ['greater']
    assert start(save_best='depth/rmse', greater_keys='rmse').rules == ['greater']
    assert start(save_best=NAMES, less_keys=['semseg/mIoU']).rules == ['less'] * 3


def test_auto_is_the_first(start):
    assert (start(save_best='auto').save_best, start(save_best='auto').rules) == (
        ['semseg/mIoU'],
        ['greater'],
    )
    assert start(save_best='auto', metrics=[DepthMetric()]).rules == ['less']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'rule': 'bigger'}, "rule = 'bigger': expected one of"),
        ({'greater_keys': 'mIuo'}, "greater_keys or less_keys = 'mIuo': the metrics"),
        ({'less_keys': ['rmse', 'rsme']}, "greater_keys or less_keys = 'rsme': the metrics"),
    ],
)
def test_rules_without_meaning(start, options, message):
    with pytest.raises(ValueError, match=message):
        start(save_best='semseg/mIoU', **options)


def test_a_direction_that_nobody_names(start):
    with pytest.raises(ValueError, match=r'normals/median.*Name one: rule="greater" or rule="le'):
        start(save_best='normals/median')
    assert start(save_best='normals/median', rule='less').rules == ['less']


def test_metrics_of_others_may_have_any_name(start):
    assert start(save_best='score', rule='greater', metrics=[Own()]).rules == ['greater']


@pytest.mark.parametrize(
    ('loop', 'reason'),
    [
        ({'val_begin': None}, 'a SimpleNamespace has none'),
        ({'val_begin': 9}, 'val_begin = 9 is after'),
    ],
)
def test_a_training_that_never_validates(start, loop, reason):
    with pytest.raises(ValueError, match=f'save_best keeps the best .*{reason}'):
        start(loop, save_best='semseg/mIoU')
    start(loop)


def test_the_best_by_another_metric_is_forgotten():
    """A resumed run that is to keep the best by another number must not compare with the old."""
    hub = SimpleNamespace(runtime_info={'save_best': ['depth/rmse'], 'best_score': 0.1})
    hub.update_info = lambda name, value: hub.runtime_info.update({name: value})
    told = []
    runner = SimpleNamespace(message_hub=hub, logger=SimpleNamespace(warning=told.append))
    same = CheckpointHook(by_epoch=False, save_best='depth/rmse', rule='less')
    same._forget_other_best(runner)
    assert hub.runtime_info['best_score'] == 0.1
    other = CheckpointHook(by_epoch=False, save_best='semseg/mIoU', rule='greater')
    other._forget_other_best(runner)
    assert hub.runtime_info == {'save_best': ['semseg/mIoU']}
    assert 'depth/rmse' in told[0]
