"""Overrides of a config's entries, on the command line or in a file that has it as its base.

What they reach, and which of them would reach nothing.
"""

import difflib
import inspect
import itertools
import logging
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmbmtas.engine.inherited import inherited_values, read_names
from mmbmtas.engine.override_types import check_override_types
from mmbmtas.engine.task_subset import narrow_to_tasks
from mmbmtas.errors import InputError

_SETTLED = (
    *('architecture', 'pretrained', 'single_checkpoints', 'total_batch_size'),
    *('data_root', 'tasks', 'max_iters', 'weight_iters'),
)
"""Names at the top of our configs whose overrides reach what depends on them."""

_READ = {
    *inspect.signature(Runner.__init__).parameters,
    *('custom_imports', 'model_wrapper_cfg', 'runner_type', 'strategy', 'sync_bn'),
    *('find_unused_parameters', 'tta_model', 'tta_pipeline'),
}
"""Names that mmengine reads when it builds a runner."""

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
    """Change entries of a config, in place, and what was computed from them.

    What a config file computes from its names is fixed once mmengine has read it. Overriding
    ``data_root`` therefore moves all data sets that lie there, overriding ``max_iters``
    (``weight_iters`` in a search) changes the training loop's length and its schedulers', and
    ``tasks`` leaves out the other tasks' decoders, labels and metrics.

    Args:
        cfg: The config.
        options: Values by dotted name.

    Raises:
        ValueError: An entry does not exist or is not read by anything, so that its override would
            have no effect; or a value does not fit.
    """
    options = dict(options)
    for name in options:
        _refuse_without_effect(cfg, str(name))
    check_override_types(cfg, options)
    if 'data_root' in options:
        _move_data(cfg, [cfg.get('data_root')], options['data_root'])
    for name in ('max_iters', 'weight_iters', 'total_batch_size'):
        if not isinstance(options.get(name, 1), int) or options.get(name, 1) < 1:
            raise InputError(f'{name}={options[name]}: expected a whole number from 1')
    for name in ('max_iters', 'weight_iters'):
        if name in options:
            _change_length(cfg, name, [cfg.train_cfg.get(name)], options[name])
    if 'tasks' in options:
        tasks = options['tasks']
        options['tasks'] = [tasks] if isinstance(tasks, str) else [*tasks]
        narrow_to_tasks(cfg, options['tasks'])
    if cfg.get('single_checkpoints', {}) is None:
        cfg.single_checkpoints = {}  # mmengine merges no single_checkpoints.TASK into None
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:
        raise InputError(f'an override does not fit {_name(cfg)}: {error.args[0]}') from error


def settle_inherited(cfg: Config) -> None:
    """Let what a config's file sets over its ``_base_`` reach what that has computed from it.

    As :func:`apply_overrides` does for the names that it takes, wherever the base's value still
    stands. Other names that the base has used and the file itself does not are logged: they have
    no effect. Nothing changes in a config that was not read from a Python file.
    """
    if cfg.filename is None:
        return
    names = read_names(Path(cfg.filename))
    inherited = inherited_values(names)
    olds = {
        name: [value for value in inherited.get(name, ()) if value != cfg.get(name)]
        for name in ('data_root', 'max_iters', 'weight_iters', 'tasks')
    }
    _move_data(cfg, olds['data_root'], cfg.get('data_root'))
    for name in ('max_iters', 'weight_iters'):
        if (cfg.get('train_cfg') or {}).get(name) in olds[name]:
            _change_length(cfg, name, olds[name], cfg[name])
    if olds['tasks'] and {*cfg.tasks} < {*(cfg.get('model') or {}).get('decode_heads', ())}:
        narrow_to_tasks(cfg, cfg.tasks)
    for name in names.values:
        known = name in _READ or name in _SETTLED or name in names.used or name[0] == '_'
        if name in inherited and not known:
            places = ', '.join(_few_places(cfg, inherited[name]))
            print_log(
                f'{name} = ... has no effect in {_name(cfg)}: its _base_ has computed other '
                f'entries from it already. Set these entries: {places or _HOW_TO_SEE}',
                logger='current',
                level=logging.WARNING,
            )


def _refuse_without_effect(cfg: Config, option: str) -> None:
    """Refuse an override of what nothing reads."""
    name, _, rest = option.partition('.')
    if name in _READ or (name in cfg and name in _SETTLED):
        return
    if name not in cfg:
        known = [key for key in cfg if key in _READ or key in _SETTLED]
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


def _move_data(cfg: Config, olds: Collection[Any], new: Any) -> None:
    """Let every data set that lies at one of ``olds`` lie at ``new``."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for dataset in plain_datasets((cfg.get(name) or {}).get('dataset') or {}):
            if dataset.get('data_root') in olds:
                dataset.data_root = new


def plain_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the config of a data set, or of each that wrappers (``ConcatDataset``) hold."""
    inner = dataset.get('datasets') or [dataset[key] for key in ('dataset',) if key in dataset]
    for wrapped in inner:
        yield from plain_datasets(wrapped)
    if not inner:
        yield dataset


def _change_length(cfg: Config, name: str, olds: Collection[Any], iterations: int) -> None:
    """Let the training loop, and the schedulers that end at ``olds``, end after ``iterations``."""
    cfg.train_cfg[name] = iterations
    schedulers: Any = cfg.get('param_scheduler') or []
    named = isinstance(schedulers, dict)
    for scheduler in itertools.chain(*schedulers.values()) if named else schedulers:
        if scheduler.get('end') in olds:
            scheduler.end = iterations
