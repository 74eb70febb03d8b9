"""How an encoder knows its context module: by a config, whose class is registered already."""

from collections.abc import Mapping
from typing import Any

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS, find_registered
from mmbmtas.structures.documents import plain_json
from mmbmtas.structures.values import require_count

from .context import Context

_SETTLED = {'in_channels': 'the encoder', 'dropout': 'dropout of the backbone'}


class ContextConfig:
    """The context module of an encoder: what a config states, or the encoder's usual one.

    The config may come from a stranger's ``architecture.json``: only classes that are registered
    are looked up.

    Args:
        encoder: The encoder's class, for messages.
        stated: What the user states: ``type`` and the module's own arguments; without ``type`` the
            usual module, with other arguments. None is the usual one.
        usual: The encoder's usual module.
        channels: Channels of the module, where the encoder's argument states them.
        usual_channels: Channels otherwise.

    Attributes:
        channels: Channels of the module's output.

    Raises:
        InputError: There is no such module, an argument is not the module's to state, or channels
            are stated twice.
    """

    def __init__(
        self,
        encoder: str,
        stated: Mapping[str, Any] | None,
        usual: Mapping[str, Any],
        channels: int | None,
        usual_channels: int,
    ) -> None:
        self._where = f'context of {encoder}'
        self._usual = self._plain(usual, {})
        if stated is not None and not isinstance(stated, Mapping):
            raise InputError(f'{self._where} {stated!r}: expected dict(type=..., ...)')
        options = dict(stated or {})
        own = options.pop('channels', None)
        if own is not None and channels is not None and own != channels:
            raise InputError(
                f'{encoder} states context_channels={channels} and context.channels={own}: '
                'expected one of them'
            )
        given = own if own is not None else channels
        self.channels = require_count(
            f'context_channels of {encoder}', usual_channels if given is None else given
        )
        self._cfg = self._plain(options, self._usual)

    def _plain(self, cfg: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config that a file can hold, with the usual arguments of the usual module."""
        kind = self._find(cfg.get('type', usual.get('type')))
        options = {key: value for key, value in cfg.items() if key != 'type'}
        if kind.__name__ == usual.get('type'):
            options = {key: value for key, value in usual.items() if key != 'type'} | options
        for key, holder in _SETTLED.items():
            if key in options:
                raise InputError(f'{self._where}: {key} must not be stated here: {holder} has it')
        options = plain_json(kind.plain_options(options), self._where)
        return {'type': kind.__name__, **options}

    def _find(self, kind: Any) -> type[Context]:
        return find_registered(MODELS, kind, Context, f'{self._where}:')

    def build(
        self, in_channels: int, dropout: float, norm_cfg: dict, act_cfg: dict | None = None
    ) -> Context:
        """Build the module.

        Args:
            in_channels: Channels of the input.
            dropout: Dropout rate before the projection.
            norm_cfg: Normalisation, unless the config states another.
            act_cfg: Activation, unless the config states another; None is ReLU.

        Raises:
            InputError: The module takes other arguments.
        """
        given = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        options = {**given, **self._cfg}
        kind: Any = self._find(options.pop('type'))
        try:
            return kind(in_channels, self.channels, dropout=dropout, **options)
        except TypeError as error:
            raise InputError(f'{self._where} {self._cfg} does not fit: {error}') from error

    def to_config(self) -> dict[str, Any]:
        """Return the encoder's arguments that build this module; the usual one needs no config."""
        context = {} if self._cfg == self._usual else {'context': self._cfg}
        return {'context_channels': self.channels, **context}
