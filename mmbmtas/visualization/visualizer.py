"""Draw data samples as contact sheets, with mmengine's visualizer and its backends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.structures import LabelData, PixelData
from mmengine.visualization import Visualizer

from mmbmtas.registry import VISUALIZERS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.tasks import TASKS, label_task
from mmbmtas.writing import written_beside

from .contact_sheet import Column, draw_contact_sheet
from .image_labels import label_column
from .label_maps import describe_colours, draw_label, valid_range


@VISUALIZERS.register_module()
class MultiTaskVisualizer(Visualizer):
    """Draw the image, the labels and the predictions of a sample as one contact sheet.

    Names and colours of classes come from ``dataset_meta``, which the runner sets from the dataset.

    Args:
        name: Name of the instance.
        cell_height: Height of each picture on the sheet in pixels.
        **kwargs: ``vis_backends``, ``save_dir`` and more, as for mmengine's class.

    Example:
        .. code-block:: python

            visualizer = dict(
                type='MultiTaskVisualizer',
                name='visualizer',
                vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
            )
    """

    def __init__(self, name: str = 'visualizer', cell_height: int = 240, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.cell_height = cell_height

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: MultiTaskDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw a sample. Show it, write it to a file, or pass it to the backends.

        Args:
            name: Name of the sheet in the backends, and its title.
            image: RGB uint8, ``(H, W, 3)``.
            data_sample: Labels and predictions.
            draw_gt: Whether to draw the labels.
            draw_pred: Whether to draw the predictions.
            show: Whether to open a window.
            wait_time: Seconds that the window stays open; 0 until a key is pressed.
            out_file: Image file to write; the backends then get nothing, as in mmseg.
            step: Step for the backends.
        """
        columns = [] if data_sample is None else sample_columns(data_sample, self.dataset_meta)
        columns = [
            Column(
                c.name, c.truth if draw_gt else None, c.prediction if draw_pred else None, c.legend
            )
            for c in columns
        ]
        title = f'{name}   {image.shape[0]} x {image.shape[1]} pixels'
        sheet = draw_contact_sheet(image, columns, title, self.cell_height)
        if show:
            self.show(sheet, win_name=name, wait_time=wait_time)
        if out_file is not None:
            with written_beside(out_file) as beside:
                mmcv.imwrite(sheet[..., ::-1], str(beside))
        elif not show:
            self.add_image(name, sheet, step)


def sample_columns(
    sample: MultiTaskDataSample, dataset_meta: Mapping[str, Any] | None = None
) -> list[Column]:
    """Draw every task for which a sample has a label or a prediction.

    Truth and prediction of depth and other values share one scale, that of the truth if there is
    one. Values of several channels, which only users' own tasks have, are drawn as their mean.

    Args:
        sample: The sample.
        dataset_meta: The dataset's metainfo, of which ``classes`` and ``palette`` map a task's name
            to its classes' names and colours, and ``units`` to the unit of its values.

    Returns:
        One column per task, in the order of the task table, then users' own tasks.
    """
    meta = dataset_meta or {}
    keys = sample.keys()
    found = {key.split('_', 1)[1] for key in keys if key.startswith(('gt_', 'pred_'))}
    found.discard('label_map')  # what edges are derived from, no task
    columns = []
    for name in sorted(
        found, key=lambda n: (list(TASKS).index(n) if n in TASKS else len(TASKS), n)
    ):
        fields = {
            key: sample.get(f'{key}_{name}') for key in ('gt', 'pred') if f'{key}_{name}' in sample
        }
        if any(isinstance(field, LabelData) for field in fields.values()):
            columns.append(label_column(name, fields, _of_task(meta.get('classes'), name)))
            continue
        maps = {key: _field_map(field) for key, field in fields.items()}
        holds_floats = next(iter(maps.values())).dtype.kind == 'f'
        task = label_task(name, holds_floats, sample.metainfo.get('task_kinds'))
        if task.kind == 'value':
            maps = {
                key: label if label.ndim == 2 else label.mean(-1) for key, label in maps.items()
            }
        palette = _of_task(meta.get('palette'), name)
        limits = None
        if task.kind in ('depth', 'value'):
            limits = valid_range(task, next(iter(maps.values())))
        pictures = {key: draw_label(task, label, palette, limits) for key, label in maps.items()}
        classes = _of_task(meta.get('classes'), name)
        unit = _of_task(meta.get('units'), name)
        legend = describe_colours(task, list(maps.values()), classes, palette, limits, unit)
        columns.append(Column(name, pictures.get('gt'), pictures.get('pred'), legend))
    return columns


def sample_image(inputs: torch.Tensor, sample: MultiTaskDataSample) -> np.ndarray:
    """Undo the packing of an image: remove the padding of evaluation, convert to RGB.

    Args:
        inputs: BGR uint8, ``(3, H, W)``, as packed by ``PackMultiTaskInputs``.
        sample: The packed sample, with ``padding`` in its metainfo if there is any.

    Returns:
        RGB uint8, ``(H, W, 3)``.
    """
    left, top, right, bottom = sample.metainfo.get('padding', (0, 0, 0, 0))
    height, width = inputs.shape[1:]
    window = inputs[:, top : height - bottom, left : width - right]
    return np.ascontiguousarray(window.cpu().numpy()[::-1].transpose(1, 2, 0))


def sheet_name(sample: MultiTaskDataSample, prefix: str) -> str:
    """Name a sample's sheet: the prefix and the image's file name without its ending."""
    return f'{prefix}_{Path(sample.metainfo.get("img_path", "image")).stem}'


def _of_task(by_task: Any, name: str) -> Any:
    """Return the entry of a task, if the metainfo has entries by task."""
    return by_task.get(name) if isinstance(by_task, Mapping) else None


def _field_map(field: PixelData) -> np.ndarray:
    """Return a field's data as ``(H, W)``, or ``(H, W, C)`` if it has several channels."""
    data = field.data.detach().cpu()
    data = data.float() if data.is_floating_point() else data
    return data.permute(1, 2, 0).squeeze(-1).numpy()
