from mmbmtas.evaluation.constant import ConstantBaseline, score_constant
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.headline import (
    HEADLINE_METRICS,
    declared_metrics,
    delta_m,
    load_baseline,
)
from mmbmtas.evaluation.metrics import (
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
    'HEADLINE_METRICS',
    'ConstantBaseline',
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
    'declared_metrics',
    'delta_m',
    'load_baseline',
    'score_constant',
]
