"""The predictions of a network for one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import LabelData, PixelData

from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.visualization import draw_contact_sheet, sample_columns


@dataclass(frozen=True)
class Prediction:
    """The predictions of all tasks for one image.

    Attributes:
        image: RGB uint8, ``(H, W, 3)``.
        sample: ``pred_<task>`` of every task, at the image's size.
        dataset_meta: ``classes`` and ``palette`` of the data set the network was trained on.
    """

    image: np.ndarray
    sample: MultiTaskDataSample
    dataset_meta: Mapping[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by task.

        Returns:
            uint8 ``(H, W)`` of classes; float32 ``(H, W)`` of probabilities (saliency, edge) and
            metres (depth); float32 ``(H, W, 3)`` of unit vectors x, y, z (normals); float32
            ``(K,)`` of the probabilities of the whole image's classes.
        """
        return {
            key.removeprefix('pred_'): _as_array(self.sample.get(key))
            for key in self.sample.keys()  # noqa: SIM118  (a data element is no mapping)
            if key.startswith('pred_')
        }

    def draw_sheet(self, title: str = '') -> np.ndarray:
        """Draw the image and every task side by side; RGB uint8."""
        columns = sample_columns(self.sample, self.dataset_meta)
        return draw_contact_sheet(self.image, columns, title)


def _as_array(field: PixelData | LabelData) -> np.ndarray:
    """Channels last, without a single one; classes as bytes where they fit."""
    if isinstance(field, LabelData):
        scores: torch.Tensor = field.score
        return scores.detach().cpu().float().numpy()
    array = field.data.detach().cpu()
    if array.is_floating_point():
        return array.float().permute(1, 2, 0).squeeze(-1).numpy()
    classes = array.permute(1, 2, 0).squeeze(-1).numpy()
    return classes.astype(np.uint8) if classes.max(initial=0) <= 255 else classes
