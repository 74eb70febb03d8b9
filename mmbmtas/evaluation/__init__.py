from mmbmtas.evaluation.constant import ConstantBaseline, score_constant
from mmbmtas.evaluation.decathlon import DECATHLON, DecathlonEvaluator, decathlon_score
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.headline import (
    declared_metrics,
    delta_m,
    load_baseline,
)
from mmbmtas.evaluation.metrics import (
    Accuracy,
    DecathlonResults,
    DepthMetric,
    EdgePixelMetric,
    HeadlineMetric,
    HumanPartsMetric,
    NormalsMetric,
    OdsF,
    SaliencyMetric,
    SemSegMetric,
    TaskMetric,
    ValueMetric,
)

__all__ = [
    'DECATHLON',
    'Accuracy',
    'ConstantBaseline',
    'DecathlonEvaluator',
    'DecathlonResults',
    'DepthMetric',
    'EdgePixelMetric',
    'HeadlineMetric',
    'HumanPartsMetric',
    'MultiTaskEvaluator',
    'NormalsMetric',
    'OdsF',
    'SaliencyMetric',
    'SemSegMetric',
    'TaskMetric',
    'ValueMetric',
    'decathlon_score',
    'declared_metrics',
    'delta_m',
    'load_baseline',
    'score_constant',
]
