"""The data element that carries every task's label and prediction of one image."""

from collections.abc import Callable
from typing import Any

from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample
from torch import Tensor

from mmbmtas.devices import remember


class MultiTaskDataSample(SegDataSample):
    """Labels and predictions of one image, one field per task.

    The label of task ``t`` is ``gt_t``, its prediction ``pred_t``, both
    :class:`mmengine.structures.PixelData` whose ``data`` is ``(channels, height, width)``:

    ============  ==========================================  =====================================
    task          ``gt_`` (training size, or original size    ``pred_`` (the labels' original size)
                  in evaluation)
    ============  ==========================================  =====================================
    semseg        int64 ``(1, H, W)``, 255 ignored             int64 ``(1, H, W)`` class
    human_parts   int64 ``(1, H, W)``, 255 ignored             int64 ``(1, H, W)`` part
    saliency      int64 ``(1, H, W)`` 0, 1, 255 ignored        float32 ``(1, H, W)`` probability
    edge          int64 ``(1, H, W)`` 0, 1, 255 ignored        float32 ``(1, H, W)`` probability
    normals       float32 ``(3, H, W)``, zero ignored          float32 ``(3, H, W)`` unit vectors
    depth         float32 ``(1, H, W)`` metres, 0 ignored      float32 ``(1, H, W)`` metres
    ============  ==========================================  =====================================

    Tasks of kind ``label`` have one class of the whole image, as
    :class:`mmengine.structures.LabelData`: ``gt_`` with ``label``, int64 ``(1,)``; ``pred_`` with
    ``label`` and ``score``, the probabilities ``(K,)``. An image of one of several domains has its
    ``domain`` in the metainfo.

    A task without a label in this image has no ``gt_`` field. As a subclass of mmseg's sample it
    also passes through mmseg's heads and metrics, which read ``gt_sem_seg``.
    """

    def to(self, *args: Any, **kwargs: Any) -> 'MultiTaskDataSample':
        """Copy to a device; :func:`~mmbmtas.devices.as_on_cpu` finds what labels were there."""
        moved = super().to(*args, **kwargs)
        for name, part in moved.items():
            _remember(part, self.get(name))
        return moved

    def pin_memory(self) -> 'MultiTaskDataSample':
        """Copy to memory that a GPU reads by itself, as loaders do with ``pin_memory=True``."""
        return self.with_tensors(lambda part: part if part.is_cuda else part.pin_memory())

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> 'MultiTaskDataSample':
        """Return a sample with another tensor in the place of each."""
        return _changed(self, change)

    def named_tensors(self) -> dict[str, Tensor]:
        """Return all tensors by field, such as ``gt_edge.data``."""
        found: dict[str, Tensor] = {}
        _collect(self, '', found)
        return found


def _remember(moved: Any, original: Any) -> None:
    """Remember the originals of all tensors within a field."""
    if isinstance(moved, Tensor):
        remember(moved, original)
    elif isinstance(moved, BaseDataElement):
        for name, part in moved.items():
            _remember(part, original.get(name))


def _changed(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change the tensors within a field or a sample."""
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, BaseDataElement):
        changed = part.new()
        for name, value in part.items():
            changed.set_data({name: _changed(value, change)})
        return changed
    return part


def _collect(part: Any, name: str, found: dict[str, Tensor]) -> None:
    """Note the tensors within a field or a sample by name."""
    if isinstance(part, Tensor):
        found[name.removeprefix('.')] = part
    elif isinstance(part, BaseDataElement):
        for key, value in part.items():
            _collect(value, f'{name}.{key}', found)
