"""How a loader's workers pass a batch to the main process."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from torch import Tensor
from torch.utils.data import get_worker_info

from mmbmtas.registry import FUNCTIONS

_ALIGNMENT = 64  # bytes


@FUNCTIONS.register_module()
def collate_in_block(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Collate like mmengine's ``pseudo_collate``; a worker uses one block of memory.

    A worker sends every tensor through shared memory of its own, which for a batch of six maps an
    image takes as long as making the samples. Here all tensors of a batch are views of one shared
    block; it is freed when the last of them is.

    Args:
        samples: What ``PackMultiTaskInputs`` gives: ``inputs`` and ``data_samples``.

    Returns:
        The same keys, each with the list of the samples' entries.

    Example:
        >>> train_dataloader = dict(collate_fn=dict(type='mmbmtas.collate_in_block'))
    """
    batch = pseudo_collate(samples)
    if get_worker_info() is None:
        return batch
    tensors: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    _replace(batch, note)
    sizes = [-(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT for tensor in tensors]
    block = torch.empty(0, dtype=torch.uint8)
    block.set_(torch.UntypedStorage._new_shared(sum(sizes)))
    pieces = iter(block.split(sizes))

    def place(tensor: Tensor) -> Tensor:
        view = next(pieces)[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        return view.copy_(tensor.detach())

    return _replace(batch, place)


def _replace(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Put other tensors in the places of those within lists, dicts and data elements."""

    def replace(entry: Any) -> Any:
        if isinstance(entry, Tensor):
            return change(entry)
        entry.set_data({key: _replace(part, change) for key, part in entry.items()})
        return entry

    return apply_to(value, _is_changed, replace)


def _is_changed(value: Any) -> bool:
    """Tell whether a value is, or may hold, a tensor that is a plain array in memory."""
    if not isinstance(value, Tensor):
        return isinstance(value, BaseDataElement)
    return value.layout is torch.strided and value.device.type == 'cpu' and not value.is_quantized
