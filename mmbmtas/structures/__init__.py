"""Data structures of the package: tasks, groupings, trees, paths, dense prediction cells.

:class:`~mmbmtas.structures.data_sample.MultiTaskDataSample` is imported from its module, since it
needs mmseg and nothing else here does.
"""

from mmbmtas.structures.architecture import BranchedArchitecture
from mmbmtas.structures.cell import DenseCell
from mmbmtas.structures.cell_space import CellSpace
from mmbmtas.structures.paths import PathArchitecture, is_zero
from mmbmtas.structures.routed import RoutedArchitecture, as_architecture
from mmbmtas.structures.task_grouping import TaskGrouping, all_groupings
from mmbmtas.structures.tasks import IGNORE_INDEX, TASKS, Task

__all__ = [
    'IGNORE_INDEX',
    'TASKS',
    'BranchedArchitecture',
    'CellSpace',
    'DenseCell',
    'PathArchitecture',
    'RoutedArchitecture',
    'Task',
    'TaskGrouping',
    'all_groupings',
    'as_architecture',
    'is_zero',
]
