"""An exported network that replaces the trained one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import LabelData, PixelData
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.launch.shared_keys import placed_datasets
from mmbmtas.launch.task_subset import narrow_to_tasks
from mmbmtas.models.decode_heads.label_head import pack_label
from mmbmtas.models.decode_heads.outputs import cut_padding, to_prediction, unpad
from mmbmtas.registry import MODELS, TRANSFORMS, find_type, is_type
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .formats import SUFFIXES
from .runtime import OnnxNetwork


@MODELS.register_module()
class OnnxModel(BaseModel):
    """An exported network as a model that predicts what the data pipeline gives it.

    Args:
        path: The ONNX file, or its bytes.
        device: See :class:`OnnxNetwork`.

    Raises:
        FileNotFoundError: See :class:`OnnxNetwork`.
        InputError: See :class:`OnnxNetwork`.

    Example:
        >>> model = dict(type='OnnxModel', path='network.onnx')
    """

    def __init__(self, path: str | Path | bytes, device: str | None = None) -> None:
        super().__init__()
        self.network = OnnxNetwork(path, device)

    def forward(
        self,
        inputs: Sequence[Tensor],
        data_samples: Sequence[MultiTaskDataSample],
        mode: str = 'predict',
    ) -> list[MultiTaskDataSample]:
        """Predict every task at the images' original size.

        Args:
            inputs: BGR uint8, ``(3, H, W)`` each.
            data_samples: Their samples, see :class:`MultiTaskEncoderDecoder`.
            mode: ``predict``.

        Returns:
            The samples with ``pred_<task>``.

        Raises:
            InputError: The file is for images of another size, or its predictions would have to be
                resized.
        """
        if mode != 'predict':
            raise InputError(f'{self.network.name} cannot be trained, it only predicts')
        for image, sample in zip(inputs, data_samples, strict=True):
            outputs = self.network.run(image.flip(0)[None].cpu().numpy())
            for task, output in outputs.items():
                found = self._finish(task, torch.from_numpy(output[0]), sample.metainfo)
                sample.set_data({f'pred_{task}': found})
        return [*data_samples]

    def _finish(self, task: str, output: Tensor, metainfo: dict[str, Any]) -> PixelData | LabelData:
        """Turn an output of the padded image into the prediction of the image."""
        description = self.network.description
        kind = description['tasks'][task]['output']
        if kind == 'label':
            decided = description['postprocess'] != 'none'
            return pack_label(output if decided else to_prediction(kind, output))
        if description['postprocess'] == 'none':
            return PixelData(data=to_prediction(kind, unpad(output, metainfo)))
        found = cut_padding(output, metainfo)
        size = tuple(metainfo.get('ori_shape', found.shape[1:]))[:2]
        if found.shape[1:] != size:
            raise InputError(
                f'{self.network.name} gives decisions at {found.shape[1]} x {found.shape[2]}, the '
                f'image has {size[0]} x {size[1]} pixels: export it with --postprocess none, since '
                'only maps can be resized'
            )
        return PixelData(data=found.long() if kind == 'classes' else found)


def is_exported(checkpoint: str | Path) -> bool:
    """Tell by its name whether a file given as a checkpoint is an exported network.

    Raises:
        InputError: It is one of torch's formats.
    """
    suffix = Path(checkpoint).suffix
    if suffix in SUFFIXES and suffix != '.onnx':
        raise InputError(
            f'{checkpoint}: it is {SUFFIXES[suffix]}, which may hold code, so it is not run here: '
            'name the .onnx file of the same network, or config and checkpoint. docs/deployment.md '
            f'says how to run {suffix} files'
        )
    return suffix == '.onnx'


def use_exported(cfg: Config, path: str) -> None:
    """Change a config in place so that it tests an exported network.

    Labels and metrics of tasks that the network lacks are left out, and scaling and padding where
    the network itself scales.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no exported network, or has tasks that the config does not know.
    """
    network = OnnxNetwork(path, 'cpu')
    tasks = network.tasks
    heads = (cfg.get('model') or {}).get('decode_heads') or {}
    if {*tasks} != {*heads}:
        narrow_to_tasks(cfg, tasks)
        if cfg.get('tasks') is not None:
            cfg.tasks = [*tasks]
    if (network.description['padding'] or {}).get('scale', 1) != 1:
        _leave_preparation_out(cfg)
    for key in ('architecture', 'pretrained', 'single_checkpoints', 'cost_shape', 'load_from'):
        if key in cfg:
            cfg[key] = None
    cfg.model = {'type': 'mmbmtas.OnnxModel', 'path': path}


def _leave_preparation_out(cfg: Config) -> None:
    """Let the test pipelines give images as they are."""
    kinds = tuple(find_type(TRANSFORMS, f'mmbmtas.{name}') for name in ('ViewImage', 'PadToSize'))
    for _, dataset in placed_datasets(cfg, ['test_dataloader']):
        dataset['pipeline'] = [
            step
            for step in dataset.get('pipeline') or ()
            if not is_type(TRANSFORMS, step['type'], kinds, cfg.get('default_scope'))
        ]
