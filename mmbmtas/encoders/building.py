"""Builds an encoder from a config, and checks that a tree was made for it."""

from typing import Any

from mmbmtas.errors import InputError
from mmbmtas.registry import TASK_UTILS, find_registered
from mmbmtas.structures import PathArchitecture, RoutedArchitecture

from .base import Encoder


def build_encoder(cfg: dict[str, Any] | Encoder, name: str = 'encoder') -> Encoder:
    """Build an encoder description from its config, whatever the default scope of the config.

    The config may come from a stranger's ``architecture.json``, so only encoders that are
    registered already are looked up, see :func:`~mmbmtas.registry.find_registered`.

    Raises:
        ValueError: There is no such encoder, or it takes other arguments; ``name`` says where.
    """
    if isinstance(cfg, Encoder):
        return cfg
    options = dict(cfg)
    kind = options.pop('type', None)
    found = find_registered(TASK_UTILS, kind, Encoder, f'{name}: encoder')
    try:
        return found(**options)
    except TypeError as error:
        raise InputError(f'{name}: encoder {dict(cfg)} does not fit {kind}: {error}') from error


def check_fits(
    architecture: RoutedArchitecture, encoder: Encoder, name: str = 'the architecture'
) -> None:
    """Check that a tree or paths were made for an encoder; ``name`` is what messages call them.

    Raises:
        InputError: They were made for another.
    """
    is_paths = isinstance(architecture, PathArchitecture)
    num_layers = encoder.num_searched if is_paths else encoder.num_layers
    own, given = build_encoder(architecture.encoder, name).to_config(), encoder.to_config()
    if own != given or architecture.num_layers != num_layers:
        raise InputError(
            f'{name} is for {own} with {architecture.num_layers} layers, '
            f'the config asks for {given} with {num_layers}'
        )
