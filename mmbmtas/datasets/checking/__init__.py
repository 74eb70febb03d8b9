from .check import check_dataset, find_dataset_class, find_dataset_type, release_name
from .report import Problem, Report, report_places, write_report

__all__ = [
    'Problem',
    'Report',
    'check_dataset',
    'find_dataset_class',
    'find_dataset_type',
    'release_name',
    'report_places',
    'write_report',
]
