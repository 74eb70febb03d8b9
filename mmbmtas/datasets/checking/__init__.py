from .check import check_dataset
from .report import Report, report_places, write_report

__all__ = ['Report', 'check_dataset', 'report_places', 'write_report']
