"""From a folder of photographs and labels to the configs of a project."""

from .found import Found, inspect_folder
from .plan import Plan, make_plan
from .report import report
from .sheet import draw_samples
from .text import write_project

__all__ = [
    'Found',
    'Plan',
    'draw_samples',
    'inspect_folder',
    'make_plan',
    'report',
    'write_project',
]
