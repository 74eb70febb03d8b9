"""Predicts all tasks of an exported network on a user's images."""

from pathlib import Path

import numpy as np
import torch

from mmbmtas.deploy import OnnxModel
from mmbmtas.deploy.description import dataset_meta
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .photo_inferencer import PhotoInferencer, read_bgr
from .photos import Photo
from .prediction import Prediction


class OnnxInferencer(PhotoInferencer):
    """An exported network in ONNX Runtime, used like :class:`MultiTaskInferencer`.

    All that it needs stands in the file: config and checkpoint may be gone.

    Args:
        path: ONNX file that ``tools/export_onnx.py`` wrote.
        device: ``cpu`` or ``cuda``; by default a GPU if the installed ONNX Runtime knows one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a file, or ONNX Runtime is missing.

    Example:
        >>> infer = OnnxInferencer('network.onnx')  # doctest: +SKIP
        >>> infer('photo.jpg', out_dir='out')['predictions'][0]['semseg'].shape  # doctest: +SKIP
        (512, 640)
    """

    def __init__(self, path: str | Path, device: str | None = None) -> None:
        self.model = OnnxModel(path, device)
        self.dataset_meta = dataset_meta(self.model.network.description)

    def predict(self, photo: Photo) -> Prediction:
        """Predict one image, a file or an array.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image, or not of the size that the network was exported for.
        """
        image = read_bgr(photo)
        size = image.shape[:2]
        kinds = self.dataset_meta['task_kinds']
        sample = MultiTaskDataSample(
            metainfo={'ori_shape': size, 'img_shape': size, 'task_kinds': kinds}
        )
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        (sample,) = self.model.test_step({'inputs': [pixels], 'data_samples': [sample]})
        return Prediction(np.ascontiguousarray(image[..., ::-1]), sample, self.dataset_meta)
