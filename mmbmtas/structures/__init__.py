"""What the other rooms pass around: tasks, groupings, trees, dense prediction cells.

:class:`~mmbmtas.structures.data_sample.MultiTaskDataSample` is imported from its module, since it
needs mmseg and nothing else here does.
"""

from mmbmtas.structures.architecture import BranchedArchitecture, as_architecture
from mmbmtas.structures.cell import DenseCell
from mmbmtas.structures.cell_space import CellSpace
from mmbmtas.structures.task_grouping import TaskGrouping, all_groupings
from mmbmtas.structures.tasks import IGNORE_INDEX, TASKS, Task

__all__ = [
    'IGNORE_INDEX',
    'TASKS',
    'BranchedArchitecture',
    'CellSpace',
    'DenseCell',
    'Task',
    'TaskGrouping',
    'all_groupings',
    'as_architecture',
]
