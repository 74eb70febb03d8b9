from mmbmtas.evaluation.constant import ConstantBaseline, score_constant
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.headline import (
    DECLARED_METRICS,
    HEADLINE_METRICS,
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
    'DECLARED_METRICS',
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
    'delta_m',
    'load_baseline',
    'score_constant',
]
