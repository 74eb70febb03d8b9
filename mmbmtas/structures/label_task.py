"""Which task a label or prediction belongs to, tasks of the user's included."""

from mmbmtas.structures.tasks import TASKS, Task


def label_task(name: str, holds_floats: bool) -> Task:
    """Find a task by its name; one that the table lacks is known by what its map holds.

    Args:
        name: Task name.
        holds_floats: Whether the map's numbers are floats.

    Returns:
        The entry of :data:`mmbmtas.structures.tasks.TASKS`, or, for a task of the user's, one of
        kind ``value`` where the map holds floats and ``classes`` where it holds integers.

    Example:
        >>> label_task('albedo', holds_floats=True)
        Task(name='albedo', kind='value')
    """
    return TASKS.get(name) or Task(name, 'value' if holds_floats else 'classes')
