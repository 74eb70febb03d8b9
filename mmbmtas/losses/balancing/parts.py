"""Losses task by task: taken from a loss dictionary, and carried along by their sum.

mmengine hands one number from the model to the optimiser. An optimiser that needs the tasks'
losses apart finds them on that number; every other one need not know.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmbmtas.errors import InputError

OTHER = ''
"""Key of what belongs to no task, such as the resource loss."""


def losses_by_task(losses: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
    """Sum the entries ``<task>.loss_...`` of each task.

    Args:
        losses: A loss dictionary; as everywhere in mmengine, only entries with ``loss`` in their
            name are minimised.
        tasks: The tasks' names.

    Returns:
        Scalars of the tasks with an entry, and under ``OTHER`` the sum of all other entries.
    """
    parts: dict[str, Tensor] = {}
    for name, value in losses.items():
        if 'loss' in name:
            prefix = name.partition('.')[0]
            key = prefix if prefix in tasks else OTHER
            parts[key] = parts[key] + value.mean() if key in parts else value.mean()
    return parts


def carry_parts(total: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Let a total carry the losses that it is the sum of; see :func:`parts_of`."""
    total.parts = dict(parts)  # type: ignore[attr-defined]
    return total


def parts_of(total: Tensor) -> dict[str, Tensor]:
    """Return the losses that a total is the sum of, by task.

    Raises:
        ValueError: It carries none, since another kind of model computed it.
    """
    parts = getattr(total, 'parts', None)
    if parts is None:
        raise InputError(
            'the loss does not say what each task adds to it: aggregating gradients needs a '
            'MultiTaskEncoderDecoder or a SearchEncoderDecoder'
        )
    return parts
