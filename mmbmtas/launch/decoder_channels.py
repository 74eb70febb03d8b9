"""The channels that decoders read, which the encoder decides."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError
from mmbmtas.models.segmentors.decoders import reads_two_levels


def list_channels(cfg: Config) -> Iterator[tuple[str, dict[str, Any], list[int]]]:
    """List the decoders that read the encoder's low-level and context features.

    An encoder that cannot be built has no channels yet: its file may be found later, and whoever
    builds the network tells what is wrong.

    Yields:
        The dotted name and the config of a decoder, and the channels of the two features.
    """
    model = cfg.get('model')
    heads = model.get('decode_heads') if isinstance(model, Mapping) else None
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    encoder = backbone.get('encoder') if isinstance(backbone, Mapping) else None
    if not isinstance(heads, Mapping) or not isinstance(encoder, dict):
        return
    try:
        built = build_encoder(encoder)
    except (InputError, OSError):
        return
    for task, head in heads.items():
        if isinstance(head, dict) and reads_two_levels(head, cfg.get('default_scope')):
            channels = [built.low_level_channels, built.context_channels]
            yield f'model.decode_heads.{task}', head, channels
