"""Predicts all tasks of a trained network on a user's images."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from torch import Tensor

from mmbmtas import launch
from mmbmtas.checkpoints import network_weights, require_finite
from mmbmtas.deploy import OnnxModel, Padding, export_network
from mmbmtas.errors import InputError
from mmbmtas.launch.loading import misfit_named
from mmbmtas.launch.shared_keys import domain_datasets
from mmbmtas.models.inference import choose_device, prepare_for_inference
from mmbmtas.paths import DomainEncoderDecoder, PathSearchEncoderDecoder
from mmbmtas.registry import DATASETS, MODELS, SCOPE, TRANSFORMS, find_type, is_type
from mmbmtas.structures.data_sample import MultiTaskDataSample

from .photo_inferencer import Outcome, PhotoInferencer, read_bgr
from .photos import Photo
from .prediction import Prediction


class MultiTaskInferencer(PhotoInferencer):
    """A trained network, ready for images of any size.

    Used like mmseg's ``MMSegInferencer``. An image goes through the transforms of the config's test
    data set, so that it is padded as in evaluation, and predictions equal those that
    ``tools/test.py`` scores; they are cropped back to the image.

    Args:
        config: Config file that the network was trained with, or the config.
        checkpoint: Its checkpoint, of which class names and colours are taken as well.
        device: For example ``cpu`` or ``cuda:0``; default a GPU if there is one.
        cfg_options: Entries that replace the config's, such as ``{'architecture': 'a.json'}``;
            without that one the architecture is the checkpoint's own.
        fuse_conv_bn: Whether to fold batch normalisations into the convolutions before them.
        channels_last: Whether to hold features with the channels innermost. Neither changes what
            is predicted, but for rounding; which is faster depends on the device.
        domain: Of a network of several domains, whose images these are: only what this domain
            needs is kept.
        backend: What computes: ``torch``, or ``onnxruntime``, which is given the network as
            ``tools/export_onnx.py --dynamic`` writes it; :class:`OnnxInferencer` runs such a file.

    Raises:
        InputError: There is no such domain, or the network has no domains. ONNX Runtime is missing,
            or cannot run the network, or an option has no effect in it.
        FileNotFoundError: The config, its architecture or the checkpoint is missing.
        ValueError: The checkpoint does not fit the config's model, or that has normalisations
            that cannot be folded.

    Example:
        >>> infer = MultiTaskInferencer(
        ...     'configs/branched_scenes.py', 'iter_600.pth'
        ... )  # doctest: +SKIP
        >>> infer('photo.jpg', out_dir='out')['predictions'][0]['semseg'].shape  # doctest: +SKIP
        (512, 640)
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | None = None,
        cfg_options: Mapping[str, Any] | None = None,
        fuse_conv_bn: bool = False,
        channels_last: bool = False,
        domain: str | None = None,
        backend: Literal['torch', 'onnxruntime'] = 'torch',
    ) -> None:
        launch.require_checkpoint(str(checkpoint))
        if backend not in ('torch', 'onnxruntime'):
            raise InputError(f"backend {backend!r}: expected 'torch' or 'onnxruntime'")
        if backend == 'onnxruntime' and (fuse_conv_bn or channels_last):
            raise InputError(
                'fuse_conv_bn and channels_last have no effect in ONNX Runtime, which folds and '
                'lays out as it likes: leave them out'
            )
        self.cfg = _prepare(config, str(checkpoint), cfg_options)
        if 'decode_heads' not in self.cfg.model:
            raise InputError(
                f'{self.cfg.filename} is for a {self.cfg.model.type}: expected the config of a '
                'multi-task network (mmseg.apis.MMSegInferencer takes those of mmseg)'
            )
        self.model: Any = MODELS.build(self.cfg.model)
        if isinstance(self.model, PathSearchEncoderDecoder):
            raise InputError(
                f'{self.cfg.filename} is for a search of paths, whose network normalises by the '
                'batch and has every candidate: train the paths that it found (architecture=FILE '
                'with a config such as configs/mpnas/paths_pocket.py), and predict with that'
            )
        with misfit_named(checkpoint):
            content = load_checkpoint(self.model, str(checkpoint), 'cpu', strict=True)
        require_finite(network_weights(self.model), checkpoint)
        if domain is not None:
            self.model = _of_domain(self.model, domain)
        prepare_for_inference(self.model, fuse_conv_bn, channels_last)
        if backend == 'torch':
            self.model.to(choose_device(device))
        test_set = _find_test_set(self.cfg, domain)
        self.dataset_meta = _metainfo(content, test_set)
        self.pipeline = Compose(
            [TRANSFORMS.build(t) for t in test_set.pipeline if not _reads_image(t)]
        )
        self._predictor: Any = self.model
        if backend == 'onnxruntime':
            exported = export_network(self.model, self.dataset_meta, dynamic=True)
            self._predictor = OnnxModel(exported.content, device)

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the network, if any, of which none was chosen."""
        several = isinstance(self.model, DomainEncoderDecoder) and self.model.domain is None
        return tuple(self.model.domains) if several else ()

    def run(self, photos: Iterable[Photo], out_dir: str | Path | None = None) -> Iterator[Outcome]:
        """Predict images one by one, as :meth:`PhotoInferencer.run` does.

        Raises:
            InputError: The network has several domains, and none was chosen.
        """
        if self.domains:
            raise InputError(
                'the network has several domains: state the domain of the images with domain '
                f'(--domain), one of {[*self.domains]}'
            )
        return super().run(photos, out_dir)

    @torch.no_grad()
    def predict(self, photo: Photo) -> Prediction:
        """Predict one image, a file or an array.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image; names the file.
        """
        image = read_bgr(photo)
        (sample,) = self._predictor.test_step(self._batch(image))
        return Prediction(np.ascontiguousarray(image[..., ::-1]), sample, self.dataset_meta)

    @torch.no_grad()
    def predict_maps(self, image: np.ndarray, padding: Padding | None = None) -> dict[str, Tensor]:
        """Return the maps of all tasks, undecided, ``(channels, H, W)`` at the image's size.

        Where no domain was chosen, those of all domains, as if the image were of each.

        Args:
            image: BGR uint8, ``(H, W, 3)``.
            padding: How to scale and pad it in place of the pipeline, as an exported graph does.
        """
        batch = self._batch(image) if padding is None else _prepared(image, padding)
        batch = self.model.data_preprocessor(batch, False)
        found: dict[str, Tensor] = {}
        for domain in self.domains or [None]:
            if domain is not None:
                batch['data_samples'][0].set_metainfo({'domain': domain})
            (maps,) = self.model.predict_maps(batch['inputs'], batch['data_samples'])
            found |= maps
        return found

    def network_input(self, image: np.ndarray) -> np.ndarray:
        """Return the pipeline's output for an image, BGR ``(H, W, 3)``: the network's input."""
        (packed,) = self._batch(image)['inputs']
        return packed.permute(1, 2, 0).numpy()

    def _batch(self, image: np.ndarray) -> dict[str, Any]:
        """Send an image through the pipeline."""
        size = image.shape[:2]
        # A sample without labels: the transforms that read them have nothing to do.
        results = {'img': image, 'img_path': 'image', 'ori_shape': size, 'img_shape': size}
        unlabelled: dict[str, Any] = {'label_paths': {}, 'label_keys': [], 'tasks': []}
        kinds = self.dataset_meta.get('task_kinds', {})
        packed: Any = self.pipeline({**results, **unlabelled, 'task_kinds': kinds})
        return {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}


def _prepared(image: np.ndarray, padding: Padding) -> dict[str, Any]:
    """Scale and pad an image as an exported graph does."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    inputs, (rows, columns) = padding.apply(pixels)
    height, width = inputs.shape[2:]
    borders = (columns.start, rows.start, width - columns.stop, height - rows.stop)
    metainfo = {'ori_shape': image.shape[:2], 'img_shape': (height, width), 'padding': borders}
    return {'inputs': [inputs[0]], 'data_samples': [MultiTaskDataSample(metainfo=metainfo)]}


def _of_domain(model: Any, domain: str) -> Any:
    """Return the network of one domain."""
    if not isinstance(model, DomainEncoderDecoder):
        raise InputError(
            f'domain {domain!r}: a {type(model).__name__} has no domains to choose from; leave it '
            'out'
        )
    return model.for_domain(domain)


def _find_test_set(cfg: Config, domain: str | None) -> Any:
    """Return the config of the test data set, of a domain's where there are several.

    Raises:
        InputError: There is none of the domain.
    """
    found = [*domain_datasets(cfg.test_dataloader.dataset)]
    named = sorted({name for name, _ in found if name is not None})
    if domain is None or not named:
        return found[0][1]
    for name, dataset in found:
        if name == domain:
            return dataset
    raise InputError(
        f'test_dataloader of {cfg.filename} has no data set of the domain {domain!r}, whose '
        f'pipeline prepares images: found those of {named}'
    )


def _prepare(
    config: str | Path | Config, checkpoint: str, options: Mapping[str, Any] | None
) -> Config:
    """Settle a config as the tools do; the checkpoint holds all weights, so no others are read."""
    if isinstance(config, Config):
        cfg = config.copy()
        launch.override(cfg, options)
    else:
        cfg = launch.read_config(str(config), options)
    init_default_scope(cfg.get('default_scope', SCOPE))
    cfg.launcher = 'none'
    launch.leave_out_weights(cfg)
    launch.use_architecture_of_checkpoint(cfg, checkpoint, options)
    return launch.prepare_config(cfg, training=False)


def _metainfo(checkpoint: Mapping[str, Any], dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Class names and colours as trained, else those of the config's data set."""
    meta = (checkpoint.get('meta') or {}).get('dataset_meta')
    meta = meta or getattr(find_type(DATASETS, dataset['type']), 'METAINFO', {})
    # By task; those of mmseg's networks, of one task, are lists.
    return {key: value for key, value in meta.items() if isinstance(value, Mapping)}


def _reads_image(transform: Any) -> bool:
    """Tell whether a transform reads the image's file, whose pixels are there already."""
    kind = transform.get('type') if isinstance(transform, Mapping) else type(transform)
    readers = find_type(TRANSFORMS, 'LoadSampleImage'), LoadImageFromFile
    return is_type(TRANSFORMS, kind, readers)
