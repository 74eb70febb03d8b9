"""Overrides of a config's entries, on the command line or in a file that builds on it.

Those that would reach nothing are refused.
"""

import difflib
import inspect
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmbmtas.errors import InputError
from mmbmtas.launch.config_file import drop_delete_marks, read_config_file
from mmbmtas.launch.config_names import file_that_states, unread_names
from mmbmtas.launch.override_types import check_override_types
from mmbmtas.launch.shared_keys import (
    SHARED_KEYS,
    has_effect,
    has_entries,
    idle_key,
    name_of,
    release,
)

_READ = {
    *({*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'}),
    *('custom_imports', 'model_wrapper_cfg', 'runner_type', 'strategy', 'sync_bn', 'compile'),
    *('find_unused_parameters', 'activation_checkpointing', 'efficient_conv_bn_eval'),
    *('tta_model', 'tta_pipeline', 'cell_search'),
}
"""Names that mmengine and our tools read when they build a runner."""

_ALIKE = 0.9
_HOW = 'Set the entries that hold it: tools/misc/print_config.py shows all'


def add_cfg_options(
    parser: ArgumentParser, example: str = 'model.init_cfg=None or a.b="[1,2]"'
) -> None:
    """Add the option ``--cfg-options``, which every tool that reads a config has.

    Args:
        parser: The command line.
        example: What its help gives as an example.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help=f'override entries of the config, for example {example}',
    )


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
    """Change entries of a config, in place. What was filled in is left out again.

    Args:
        cfg: The config.
        options: Values by dotted name.

    Raises:
        InputError: An entry does not exist or is not read by anything, so that its override would
            have no effect; or a value does not fit.
    """
    release(cfg)
    for option in options:
        _require_reader(cfg, str(option))
    check_override_types(cfg, options)
    if cfg.get('single_checkpoints', {}) is None:
        cfg.single_checkpoints = {}  # mmengine merges no single_checkpoints.TASK into None
    try:
        cfg.merge_from_dict(dict(options))
    except (KeyError, TypeError) as error:
        raise InputError(f'an override does not fit {name_of(cfg)}: {error.args[0]}') from error
    drop_delete_marks(cfg._cfg_dict)
    for name in {str(option).partition('.')[0] for option in options} & {*SHARED_KEYS}:
        if not has_effect(cfg, name):
            raise idle_key(cfg, name)


def refuse_idle_names(cfg: Config) -> None:
    """Refuse settings without effect in a config's files; a config without a file is accepted.

    Args:
        cfg: The config as its file states it.

    Raises:
        InputError: A file assigns a name that its base has used already, misspells a key, or states
            a key whose entries it states as something else.
    """
    if cfg.filename is None:
        return
    release(cfg)
    idle = {name for name in SHARED_KEYS if not has_effect(cfg, name, one_rank=False)}
    for path, names, bases in unread_names(Path(cfg.filename)):
        for name in sorted(names - _READ - {*SHARED_KEYS}):
            _refuse_idle(path, name, bases)
        for name in sorted(names & idle):
            _refuse_idle_key(cfg, path, name)


def _refuse_idle_key(cfg: Config, path: Path, name: str) -> None:
    """Refuse a key that a file states in vain, unless a file that builds on it is the reason."""
    if path == Path(cfg.filename):
        if has_entries(cfg, name) or cfg.get('model'):
            raise idle_key(cfg, name)
        return
    own = read_config_file(path)
    release(own)
    if has_entries(own, name) and not has_effect(own, name, one_rank=False):
        raise idle_key(own, name)


def _refuse_idle(path: Path, name: str, bases: Collection[Path]) -> None:
    """Refuse a name that a base has used already, or that resembles one that is read."""
    base = next(filter(None, (file_that_states(base, name) for base in bases)), None)
    if base is not None:
        raise InputError(f'{path}: {name} = ... has no effect: {base} has used this name. {_HOW}')
    if meant := difflib.get_close_matches(name, _READ | {*SHARED_KEYS}, n=1, cutoff=_ALIKE):
        raise InputError(f'{path}: nothing reads {name!r}: did you mean {meant[0]!r}?')


def _require_reader(cfg: Config, option: str) -> None:
    """Refuse an override of what nothing reads."""
    name = option.partition('.')[0]
    if name in _READ or name in SHARED_KEYS:
        return
    if name in cfg:
        raise InputError(
            f'an override of {option} has no effect: {name_of(cfg)} has already used it while '
            f'being read. {_HOW}'
        )
    known = [key for key in cfg if key in _READ or key in SHARED_KEYS]
    near = difflib.get_close_matches(name, [*known, *_READ], n=1, cutoff=0.5)
    hint = f'did you mean {near[0]!r}?' if near else f'expected one of {known}'
    raise InputError(f'{name_of(cfg)} has no entry {name!r} to override: {hint}')
