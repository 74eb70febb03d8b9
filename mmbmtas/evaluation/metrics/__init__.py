from mmbmtas.evaluation.metrics.base import HeadlineMetric, TaskMetric
from mmbmtas.evaluation.metrics.binary_maps import EdgePixelMetric, SaliencyMetric
from mmbmtas.evaluation.metrics.class_maps import HumanPartsMetric, SemSegMetric
from mmbmtas.evaluation.metrics.decathlon_results import DecathlonResults
from mmbmtas.evaluation.metrics.image_labels import Accuracy
from mmbmtas.evaluation.metrics.ods_f import OdsF
from mmbmtas.evaluation.metrics.value_maps import DepthMetric, NormalsMetric, ValueMetric

__all__ = [
    'Accuracy',
    'DecathlonResults',
    'DepthMetric',
    'EdgePixelMetric',
    'HeadlineMetric',
    'HumanPartsMetric',
    'NormalsMetric',
    'OdsF',
    'SaliencyMetric',
    'SemSegMetric',
    'TaskMetric',
    'ValueMetric',
]
