"""What the other rooms pass around: tasks, task groupings, branched architectures.

:class:`~mmbmtas.structures.data_sample.MultiTaskDataSample` is imported from its module, since it
needs mmseg and nothing else here does.
"""

from mmbmtas.structures.architecture import BranchedArchitecture, as_architecture
from mmbmtas.structures.task_grouping import TaskGrouping, all_groupings
from mmbmtas.structures.tasks import IGNORE_INDEX, TASKS, Task

__all__ = [
    'IGNORE_INDEX',
    'TASKS',
    'BranchedArchitecture',
    'Task',
    'TaskGrouping',
    'all_groupings',
    'as_architecture',
]
