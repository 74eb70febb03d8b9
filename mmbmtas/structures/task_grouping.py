"""Which tasks share their computation at one encoder layer: a partition of the tasks."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from mmbmtas.errors import InputError


@dataclass(frozen=True, order=True)
class TaskGrouping:
    """A partition of the tasks ``0 .. T - 1`` into groups that share one copy of a layer.

    Groups are kept in canonical order (members ascending, groups by their first member), so equal
    partitions are equal objects with equal hashes, however they were written down.

    Example:
        >>> grouping = TaskGrouping(((2,), (1, 0)))
        >>> str(grouping), grouping.num_groups, grouping.labels
        ('{0,1}{2}', 2, (0, 0, 1))

    Attributes:
        groups: Task indices of each group.

    Raises:
        ValueError: If the groups are empty, overlap or leave out a task.
    """

    groups: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        groups = tuple(sorted(tuple(sorted(group)) for group in self.groups))
        members = sorted(task for group in groups for task in group)
        if not members or () in groups or members != list(range(len(members))):
            raise InputError(
                f'groups {self.groups} are not a partition: expected non-empty groups that hold '
                'every task index from 0 upwards exactly once'
            )
        object.__setattr__(self, 'groups', groups)

    @classmethod
    def from_labels(cls, labels: Iterable[Hashable]) -> 'TaskGrouping':
        """Group the tasks whose labels are equal; ``labels`` holds one per task.

        With the routings up to a layer as labels, this is the paper's sharing rule.

        Example:
            >>> str(TaskGrouping.from_labels(['a', 'b', 'a']))
            '{0,2}{1}'
        """
        groups: dict[Hashable, list[int]] = {}
        for task, label in enumerate(labels):
            groups.setdefault(label, []).append(task)
        return cls(tuple(tuple(group) for group in groups.values()))

    @classmethod
    def shared(cls, num_tasks: int) -> 'TaskGrouping':
        """All tasks in one group."""
        return cls((tuple(range(num_tasks)),))

    @classmethod
    def all_apart(cls, num_tasks: int) -> 'TaskGrouping':
        """Every task in a group of its own."""
        return cls(tuple((task,) for task in range(num_tasks)))

    @property
    def num_tasks(self) -> int:
        """How many tasks are grouped."""
        return sum(len(group) for group in self.groups)

    @property
    def num_groups(self) -> int:
        """How many copies of the layer run."""
        return len(self.groups)

    @property
    def labels(self) -> tuple[int, ...]:
        """For each task, the position of its group in :attr:`groups`."""
        position = {task: g for g, group in enumerate(self.groups) for task in group}
        return tuple(position[task] for task in range(len(position)))

    def group_of(self, task: int) -> tuple[int, ...]:
        """Return the group that ``task`` is in.

        Raises:
            ValueError: If there is no such task.
        """
        for group in self.groups:
            if task in group:
                return group
        raise InputError(f'no task {task} in {self}')

    def refines(self, other: 'TaskGrouping') -> bool:
        """Tell whether every group lies inside one group of ``other`` (true if they are equal).

        Raises:
            ValueError: If the two group different numbers of tasks.
        """
        if self.num_tasks != other.num_tasks:
            raise InputError(f'{self} and {other} group different numbers of tasks')
        labels = other.labels
        return all(len({labels[task] for task in group}) == 1 for group in self.groups)

    def refinements(self) -> Iterator['TaskGrouping']:
        """Enumerate the groupings that refine this one, itself first, all apart last."""
        for parts in product(*(list(_partitions(group)) for group in self.groups)):
            yield TaskGrouping(tuple(group for part in parts for group in part))

    def restricted_to(self, tasks: Sequence[int]) -> 'TaskGrouping':
        """Keep ``tasks`` only and number them in the order given."""
        labels = self.labels
        return TaskGrouping.from_labels(labels[task] for task in tasks)

    def __str__(self) -> str:
        return ''.join('{' + ','.join(map(str, group)) + '}' for group in self.groups)


def all_groupings(num_tasks: int) -> Iterator[TaskGrouping]:
    """Enumerate all partitions of ``num_tasks`` tasks, shared first, all apart last.

    There are as many as the Bell number: 2, 5, 15, 52, 203, 877 and 4,140 for 2 to 8 tasks.
    """
    return TaskGrouping.shared(num_tasks).refinements()


def _partitions(members: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Partitions of ``members``: the last joins a group of each smaller one, or stands alone."""
    *rest, last = members
    if not rest:
        yield (members,)
        return
    for smaller in _partitions(tuple(rest)):
        for i, group in enumerate(smaller):
            yield (*smaller[:i], (*group, last), *smaller[i + 1 :])
        yield (*smaller, (last,))
