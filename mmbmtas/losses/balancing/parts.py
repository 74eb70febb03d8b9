"""Split a loss dictionary by task, and attach the parts to their sum.

mmengine passes one number from the model to the optimiser. An optimiser that needs the losses of
the tasks finds them attached to this number. All others ignore them.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmbmtas.errors import InputError

OTHER = ''
"""Key of what belongs to no task, such as the resource loss."""


def losses_by_task(losses: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
    """Sum the entries ``<task>.loss_...`` of each task.

    Args:
        losses: A loss dictionary. As always in mmengine, only entries with ``loss`` in their name
            are minimised.
        tasks: The tasks' names.

    Returns:
        A scalar for each task with an entry, and under ``OTHER`` the sum of all other entries.
    """
    parts: dict[str, Tensor] = {}
    for name, value in losses.items():
        if 'loss' in name:
            prefix = name.partition('.')[0]
            key = prefix if prefix in tasks else OTHER
            parts[key] = parts[key] + value.mean() if key in parts else value.mean()
    return parts


def carry_parts(total: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """Attach the summands to a total loss; see :func:`parts_of`."""
    total.parts = dict(parts)  # type: ignore[attr-defined]
    return total


def parts_of(total: Tensor) -> dict[str, Tensor]:
    """Return the summands of a total loss, by task.

    Raises:
        ValueError: None are attached, because another kind of model computed the total.
    """
    parts = getattr(total, 'parts', None)
    if parts is None:
        raise InputError(
            'the loss is not split by task: aggregating gradients needs a '
            'MultiTaskEncoderDecoder or a SearchEncoderDecoder'
        )
    return parts
