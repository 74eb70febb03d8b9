"""Overrides of a config's entries, on the command line or in a file that builds on it.

Those that would reach nothing are refused.
"""

import difflib
import inspect
import itertools
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmbmtas.errors import InputError
from mmbmtas.launch.config_names import idle_names, value_in
from mmbmtas.launch.override_types import check_override_types
from mmbmtas.launch.shared_keys import SHARED_KEYS

_READ = {
    *({*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'}),
    *('custom_imports', 'model_wrapper_cfg', 'runner_type', 'strategy', 'sync_bn', 'compile'),
    *('find_unused_parameters', 'activation_checkpointing', 'efficient_conv_bn_eval'),
    *('tta_model', 'tta_pipeline', 'cell_search'),
}
"""Names that mmengine and our tools read when they build a runner."""

_MAX_PLACES = 4
_HOW_TO_SEE = 'see tools/misc/print_config.py'


class OverrideAction(DictAction):
    """``--cfg-options KEY=VALUE ...``; other words, and dicts as values, are refused."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Read the words."""
        for word in values:
            if '=' not in word:
                parser.error(
                    f'{option_string} {word}: expected KEY=VALUE; other arguments stand before '
                    f'{option_string}'
                )
            if fault := _fault_of_word(*word.split('=', 1)):
                parser.error(f'{option_string} {word:.200}: {fault}')
        super().__call__(parser, namespace, values, option_string)


def _fault_of_word(key: str, value: str) -> str | None:
    """Say what of ``KEY=VALUE`` cannot be read, None if all can."""
    if not all(key.split('.')):
        return 'expected a name, or names joined by single dots, before ='
    if re.search(r'(^|[\[(,]\s*)(dict\(|\{)', value):
        return f'a dict cannot be given: set its entries, such as {key}.NAME=VALUE'
    brackets = any(value.count(pair[0]) != value.count(pair[1]) for pair in ('[]', '()'))
    if brackets and (value[0] in '[(' or value[-1] in '])' or ',' in value):
        return 'the brackets of the value do not match'
    return None


def apply_overrides(cfg: Config, options: Mapping[str, Any]) -> None:
    """Change entries of a config, in place.

    Args:
        cfg: The config.
        options: Values by dotted name.

    Raises:
        ValueError: An entry does not exist or is not read by anything, so that its override would
            have no effect; or a value does not fit.
    """
    for name in options:
        _refuse_without_effect(cfg, str(name))
    check_override_types(cfg, options)
    if cfg.get('single_checkpoints', {}) is None:
        cfg.single_checkpoints = {}  # mmengine merges no single_checkpoints.TASK into None
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError) as error:
        raise InputError(f'an override does not fit {_name(cfg)}: {error.args[0]}') from error


def refuse_idle_names(cfg: Config) -> None:
    """Refuse what a config's files assign in vain; nothing is refused of one without a file.

    Raises:
        ValueError: A file assigns a name that its base has used already, or misspells a key.
    """
    if cfg.filename is None:
        return
    for idle in idle_names(Path(cfg.filename), _READ | {*SHARED_KEYS}):
        if idle.base is None:
            raise InputError(
                f'{idle.path}: nothing reads {idle.name!r}: did you mean {idle.meant!r}?'
            )
        places = ', '.join(_few_places(cfg, [value_in(idle.base, idle.name)]))
        raise InputError(
            f'{idle.path}: {idle.name} = ... has no effect: {idle.base} has used this name '
            f'already. Set these entries: {places or _HOW_TO_SEE}'
        )


def _refuse_without_effect(cfg: Config, option: str) -> None:
    """Refuse an override of what nothing reads."""
    name, _, rest = option.partition('.')
    if name in _READ or (name in cfg and name in SHARED_KEYS):
        return
    if name not in cfg:
        known = [key for key in cfg if key in _READ or key in SHARED_KEYS]
        near = difflib.get_close_matches(name, [*known, *_READ], n=1, cutoff=0.5)
        hint = f'did you mean {near[0]!r}?' if near else f'expected one of {known}'
        raise InputError(f'{_name(cfg)} has no entry {name!r} to override: {hint}')
    places = _few_places(cfg, [cfg[name]])
    where = ', '.join(f'{place}.{rest}' if rest else place for place in places)
    raise InputError(
        f'an override of {option} has no effect: {_name(cfg)} has computed other entries from it '
        f'already. Override these entries: {where or _HOW_TO_SEE}'
    )


def _name(cfg: Config) -> str:
    return cfg.filename or 'the config'


def _few_places(cfg: Config, values: Collection[Any]) -> list[str]:
    """List some dotted names of entries that are read and equal one of several values."""
    found = (
        place
        for value in values
        for name in cfg
        if name in _READ and value is not None and not isinstance(value, bool)
        for place in _equal_entries(cfg[name], value, name)
    )
    return [*itertools.islice(dict.fromkeys(found), _MAX_PLACES)]


def _equal_entries(entry: Any, value: Any, name: str) -> Iterator[str]:
    if type(entry) is type(value) and entry == value:
        yield name
        return
    if isinstance(entry, Mapping):
        inner: Any = entry.items()
    else:
        inner = enumerate(entry) if isinstance(entry, list | tuple) else ()
    for key, item in inner:
        yield from _equal_entries(item, value, f'{name}.{key}')
