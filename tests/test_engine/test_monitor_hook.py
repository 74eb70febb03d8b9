"""What a training watches must be a metric of its validations."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EarlyStoppingHook
from mmengine.optim import OptimWrapper, PolyLR, ReduceOnPlateauLR

from mmbmtas.engine.hooks.monitor_hook import MonitorHook
from mmbmtas.evaluation import MultiTaskEvaluator
from mmbmtas.evaluation.metrics import DepthMetric, SemSegMetric


def early(monitor):
    return {'hooks': [EarlyStoppingHook(monitor, rule='greater')]}


def plateau(monitor, by_name=False):
    wrapper = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1))
    listed = [PolyLR(wrapper), ReduceOnPlateauLR(wrapper, monitor)]
    return {'param_schedulers': {'weights': listed} if by_name else listed}


def start(metrics=None, loop=None, **options):
    metrics = metrics or [SemSegMetric(3), DepthMetric()]
    runner = {
        'train_loop': SimpleNamespace(**{'val_begin': 1, 'max_iters': 8, **(loop or {})}),
        'val_loop': SimpleNamespace(evaluator=MultiTaskEvaluator(metrics)),
        'hooks': [],
        'param_schedulers': None,
    }
    MonitorHook().before_train(SimpleNamespace(**{**runner, **options}))


WATCHED = [
    (early, 'EarlyStoppingHook'),
    (plateau, 'ReduceOnPlateauLR'),
    (lambda name: plateau(name, by_name=True), 'ReduceOnPlateauLR'),
]


@pytest.mark.parametrize(('watch', 'kind'), WATCHED)
@pytest.mark.parametrize('name', ['mIoU', 'semseg/mIou', 'loss'])
def test_a_metric_that_nobody_reports(watch, kind, name):
    with pytest.raises(
        ValueError, match=rf"{kind}\.monitor = '{name}': the metrics .*'semseg/mIoU"
    ):
        start(**watch(name))


@pytest.mark.parametrize(('watch', 'kind'), WATCHED)
def test_a_training_without_validations(watch, kind):
    with pytest.raises(ValueError, match=rf'{kind}\.monitor watches a metric .*val_begin = 9'):
        start(loop={'val_begin': 9}, **watch('semseg/mIoU'))


@pytest.mark.parametrize(('watch', 'kind'), WATCHED)
def test_metrics_that_exist_and_those_of_others(watch, kind):
    class Own(BaseMetric):
        def process(self, data_batch, data_samples):
            pass

        def compute_metrics(self, results):
            return {'score': 1.0}

    start(**watch('depth/rmse'))
    start(metrics=[Own()], **watch('score'))  # it does not say what it reports
    start(loop={'val_begin': 9})  # nothing watches
