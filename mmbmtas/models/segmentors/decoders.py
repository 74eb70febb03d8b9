"""The decoders of a network's tasks, built for the features that its backbone gives."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from mmengine.model import ModuleDict
from mmseg.registry import MODELS as MMSEG_MODELS
from torch import Tensor, nn

from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads.library_head import (
    build_library_head,
    check_runs,
    is_library_head,
)
from mmbmtas.models.decode_heads.map_decoder import MapDecoder
from mmbmtas.registry import MODELS, find_type, takes

_OF_TASK = ('target_key', 'output', 'num_classes', 'ignore_index')


class DecoderBuilder:
    """Builds decoders for a backbone.

    Args:
        backbone: The backbone.
        shape: Height and width of an image, at which heads of libraries are tried.
    """

    def __init__(self, backbone: Any, shape: tuple[int, int]) -> None:
        self.backbone, self.shape = backbone, shape
        self.encoder = backbone.encoder

    @property
    def channels(self) -> list[int]:
        """Channels of the encoder's low-level and context features."""
        return [self.encoder.low_level_channels, self.encoder.context_channels]

    @cached_property
    def _tap_shapes(self) -> list[torch.Size]:
        """What decoders of several levels are given; a backbone without taps has two."""
        encoder = self.encoder
        taps = encoder.taps if hasattr(self.backbone, 'taps') else encoder.low_level_and_last
        shapes = encoder.output_shapes(self.shape)
        return [shapes[tap] for tap in taps]

    def build(self, task: str, cfg: Mapping[str, Any], where: str) -> nn.Module:
        """Build a decoder, for the encoder's channels where it states none.

        Args:
            task: Its task.
            cfg: Its config.
            where: The config's place, for messages.

        Raises:
            InputError: It is for other features, or of a kind that cannot serve a task.
        """
        kind = self._find(cfg, where)
        if is_library_head(kind):
            options = {key: value for key, value in cfg.items() if key != 'type'}
            options = {'target_key': f'gt_{task}', **options}
            return build_library_head(kind, options, where, self._tap_shapes)
        if cfg.get('in_channels') is None and reads_two_levels(cfg):
            cfg = {**cfg, 'in_channels': self.channels}
        head = MODELS.build(cfg)
        expected = getattr(head, 'in_channels', self.channels)
        if isinstance(expected, Sequence) and [*expected] != self.channels:
            raise InputError(
                f'{where}.in_channels {[*expected]}: the {type(self.encoder).__name__} gives '
                f'{self.channels} (low-level and context features)'
            )
        return head

    def _find(self, cfg: Mapping[str, Any], where: str) -> Any:
        """Look up a decoder's class; mmengine's own message comes where there is none."""
        if not isinstance(cfg, Mapping):
            raise InputError(f'{where} {cfg!r}: expected dict(type=..., ...)')
        name = cfg.get('type')
        kind = find_type(MODELS, name)
        if kind is None and isinstance(name, str) and name in MMSEG_MODELS.module_dict:
            raise InputError(f"{where}.type {name!r}: mmseg's heads are written 'mmseg.{name}'")
        return kind

    def build_auxiliary(
        self, configs: Mapping[str, Any] | None, decoders: Mapping[str, nn.Module]
    ) -> ModuleDict:
        """Build the auxiliary heads of some tasks.

        Args:
            configs: For a task the config of a head, or a list of them. What a head leaves out of
                target, output and classes is its task's decoder's.
            decoders: The decoder of each task.

        Returns:
            The heads of each task by the name that their losses have: ``aux``, or ``aux_0``, ...

        Raises:
            InputError: A head is of no task here, or for another target, output or classes.
        """
        if configs is not None and not isinstance(configs, Mapping):
            raise InputError(
                f'auxiliary_heads {configs!r}: expected dict(TASK=dict(type=...), ...)'
            )
        heads: dict[str, nn.Module] = {}
        for task, given in (configs or {}).items():
            decoder = decoders.get(task)
            if not isinstance(decoder, MapDecoder):
                known = [name for name, head in decoders.items() if isinstance(head, MapDecoder)]
                raise InputError(f'auxiliary_heads.{task}: expected one of the tasks {known}')
            several = isinstance(given, list | tuple) and len(given) > 0
            named = {f'aux_{i}': cfg for i, cfg in enumerate(given)} if several else {'aux': given}
            heads[task] = ModuleDict(
                {
                    name: self._build_auxiliary(
                        task, cfg, decoder, f'auxiliary_heads.{task} ({name})'
                    )
                    for name, cfg in named.items()
                }
            )
        return ModuleDict(heads)

    def _build_auxiliary(
        self, task: str, cfg: Mapping[str, Any], decoder: MapDecoder, where: str
    ) -> nn.Module:
        own = {key: getattr(decoder, key) for key in _OF_TASK}
        self._find(cfg, where)
        for key, value in own.items():
            if cfg.get(key, value) != value:
                raise InputError(
                    f'{where}.{key} {cfg[key]!r}: the decoder of {task} has {value!r}; leave it out'
                )
        return self.build(task, {**own, **cfg}, where)

    def check_images(self, decoders: Mapping[str, nn.Module], images: str) -> None:
        """Refuse images of the builder's shape if a head of a library cannot compute for them.

        Our own decoders can for images of any size.

        Args:
            decoders: Those that were built, by their places in the config.
            images: What the images are, for messages.

        Raises:
            InputError: A head fails.
        """
        for where, head in decoders.items():
            if getattr(head, 'reads_taps', False):
                height, width = self.shape
                named = f'{images} of {height} x {width} pixels'
                check_runs(head, where, self._tap_shapes, named)

    def connect(self, decoders: Iterable[nn.Module]) -> None:
        """Let the backbone give every level where a decoder reads several; others still read two.

        Args:
            decoders: All that was built.
        """
        reads = {head: getattr(head, 'reads_taps', False) for head in decoders}
        if not any(reads.values()) or not hasattr(self.backbone, 'taps'):
            return
        self.backbone.taps = self.encoder.taps
        for head, all_of_them in reads.items():
            if not all_of_them:
                head.register_forward_pre_hook(_first_and_last)


def reads_two_levels(cfg: Mapping[str, Any], scope: str | None = None) -> bool:
    """Tell whether a decoder takes the channels of low-level and context features.

    Heads of libraries read any levels, and get the channels of those that they name.

    Args:
        cfg: The decoder's config.
        scope: The default scope of the whole config.
    """
    kind = find_type(MODELS, cfg.get('type'), scope)
    return not is_library_head(kind) and takes(MODELS, cfg, 'in_channels', scope)


def _first_and_last(_: nn.Module, inputs: tuple[Sequence[Tensor]]) -> tuple[Sequence[Tensor]]:
    """Give a decoder low-level and context features alone."""
    (features,) = inputs
    return ((features[0], features[-1]),)
