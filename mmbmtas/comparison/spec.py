"""Reads and checks the file of a comparison, which lists its models.

The file is a Python config of mmengine's; ``_base_`` works. Its keys, and those of a model by its
kind, are listed in ``docs/compare.md``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmbmtas import launch
from mmbmtas.comparison.kinds import KINDS, Reference
from mmbmtas.comparison.models import Comparison, ModelSpec
from mmbmtas.comparison.options import flatten_options
from mmbmtas.errors import InputError
from mmbmtas.launch.config_file import read_config_file

_COMMON = ('kind', 'seeds', 'options')
_TOP = (
    *('data_root', 'search', 'branched', 'seeds', 'models', 'headlines', 'paper'),
    *('cfg_options', 'search_options', 'train_options'),
)
_OPTIONS = ('cfg_options', 'search_options', 'train_options')
_FILES = {
    'search': 'the config to train',
    'config': 'the config to train',
    'architecture': 'the file of the tree',
    'cell': None,
}
"""Keys that name a file, and what it is; None where it may be absent."""


def read_comparison(path: str, overrides: Mapping[str, Any] | None = None) -> Comparison:
    """Read and check a comparison's file.

    Args:
        path: The file.
        overrides: Entries that replace the file's.

    Raises:
        FileNotFoundError: The file, or a config that it names, is missing.
        ValueError: A key or a kind is unknown, a value is out of range, or a model that another one
            refers to is missing.
    """
    cfg = read_config_file(path)
    cfg.merge_from_dict(dict(overrides or {}))
    content = {key: value for key, value in cfg.to_dict().items() if key[0] != '_'}
    _refuse_unknown(content, _TOP, path)
    if not content.get('models'):
        raise InputError(f'{path}: models is empty: name at least one, as docs/compare.md shows')
    for key in ('models', *_OPTIONS):
        if not isinstance(content.get(key, {}), Mapping):
            raise InputError(f'{path}: {key} should be a dict, not {content[key]!r:.60}')
    if not content.get('branched'):
        raise InputError(f'{path}: branched, the config of branched networks, is missing')
    found = {
        key: launch.find_beside_config(content[key], path, f"{path}: {key}'s file")
        for key in ('branched', 'search', 'paper')
        if content.get(key)
    }
    headlines = content.get('headlines') or ()
    is_list = isinstance(headlines, list | tuple)
    if not is_list or not all(isinstance(key, str) and '/' in key for key in headlines):
        raise InputError(
            f'{path}: headlines = {headlines!r:.60}: expected a list of names such as '
            "'edge/odsF', a task and a number of its metrics"
        )
    options = {key: flatten_options(content.get(key, {}), f'{path}: {key}') for key in _OPTIONS}
    models = [
        model
        for name, entry in content['models'].items()
        for model in _read_models(str(name), entry, {**content, **options}, path)
    ]
    named = {model.name: model for model in models}
    models = [_with_references(model, named, f'{path}: {model.name}') for model in models]
    return Comparison(
        path=path,
        branched=found['branched'],
        search=found.get('search'),
        models=tuple(models),
        data_root=content.get('data_root'),
        options={**options['cfg_options'], **options['train_options']},
        headlines=tuple(headlines),
        paper=found.get('paper'),
    )


def _read_models(name: str, entry: Any, file: Mapping[str, Any], path: str) -> Iterator[ModelSpec]:
    """Read one entry, which may stand for several models.

    Args:
        name: Its name.
        entry: The entry.
        file: What the file says at its top; its options are flat.
        path: The file.
    """
    where = f'{path}: {name}'
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.+-]*', name):
        raise InputError(f'{where}: names consist of letters, digits and _ . + -')
    if not isinstance(entry, Mapping) or entry.get('kind') not in KINDS:
        stated = entry.get('kind') if isinstance(entry, Mapping) else entry
        raise InputError(f'{where}: kind {stated!r}, expected one of {[*KINDS]}')
    kind = KINDS[entry['kind']]
    _refuse_unknown(entry, (*_COMMON, *kind.keys), where)
    settings = {key: entry.get(key, default) for key, default in kind.keys.items()}
    stated = flatten_options(entry.get('options', {}), f'{where}: options')
    options = {**file['cfg_options'], **file['train_options'], **stated}
    _check_numbers(settings, where)
    seeds = _read_seeds(entry.get('seeds', file.get('seeds', [0])), where)
    for own_name, own in kind.read(name, settings, file, where):
        found = _with_files(own, path, where)
        yield ModelSpec(own_name, kind.name, seeds, options, found, stated)


def _with_files(settings: Mapping[str, Any], path: str, where: str) -> dict[str, Any]:
    """Find the files that a model names.

    Raises:
        FileNotFoundError: One is missing.
        ValueError: One is not named.
    """
    found = dict(settings)
    for key in found.keys() & _FILES.keys():
        if found[key] is None and _FILES[key] is None:
            continue
        if not found[key]:
            raise InputError(f'{where}: {key}, {_FILES[key]}, is missing')
        found[key] = launch.find_beside_config(found[key], path, f'{where}: {key}')
    return found


def _read_seeds(seeds: Any, where: str) -> tuple[int, ...]:
    """Check a list of seeds."""
    valid = isinstance(seeds, Sequence) and all(_is_count(seed) for seed in seeds)
    if not valid or not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f'{where}: seeds {seeds!r}, expected different whole numbers from 0')
    return tuple(seeds)


def _check_numbers(settings: Mapping[str, Any], where: str) -> None:
    """Check the range of every number among a model's settings."""
    for key, is_valid, expected in (
        ('number', lambda x: _is_count(x) and x > 0, 'a whole number from 1'),
        ('images', lambda x: _is_count(x) and x > 0, 'a whole number from 1'),
        ('tolerance', lambda x: _is_number(x) and 0 <= x < 1, 'a share from 0 to 1'),
        ('budget', lambda x: x is None or (_is_number(x) and x > 0), 'multiply-adds above 0'),
        ('alpha', _are_alphas, 'a number from 0, or several'),
    ):
        if key in settings and not is_valid(settings[key]):
            raise InputError(f'{where}: {key} {settings[key]!r}, expected {expected}')


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_alphas(value: Any) -> bool:
    values = [value] if _is_number(value) else value
    return (
        isinstance(values, Sequence)
        and len(values) > 0
        and all(_is_number(alpha) and alpha >= 0 for alpha in values)
        and len(set(values)) == len(values)
    )


def _with_references(model: ModelSpec, named: Mapping[str, ModelSpec], where: str) -> ModelSpec:
    """Settle which models a model refers to: by default the first of the kind.

    Raises:
        ValueError: It is not there, of a kind that does not serve, or lacks a seed; or models refer
            to one another in a circle.
    """
    settings = dict(model.settings)
    if settings.get('budget') is not None and settings.get('reference') is not None:
        raise InputError(f'{where}: give reference or budget, not both')
    for key, reference in KINDS[model.kind].references.items():
        if key == 'reference' and settings.get('budget') is not None:
            continue
        if reference.optional and settings[key] is None:
            continue
        first = next((m.name for m in named.values() if m.kind == reference.default), None)
        name = settings[key] or first
        if name is None:
            raise InputError(
                f'{where}: needs a model of kind {reference.default!r} ({key}), but there is none'
            )
        kinds = _serving(reference, model.kind)
        if name not in named or named[name].kind not in kinds or name == model.name:
            raise InputError(
                f'{where}: {key} {name!r}, expected a model of kind '
                f'{" or ".join(map(repr, kinds))}: there are '
                f'{[m.name for m in named.values() if m.kind in kinds and m.name != model.name]}'
            )
        if named[name].number > 1:
            raise InputError(
                f'{where}: {key} {name!r} has {named[name].number} trees per seed (number), '
                'expected a model with one'
            )
        if missing := [seed for seed in model.seeds if seed not in named[name].seeds]:
            raise InputError(
                f'{where}: runs with the seeds {[*model.seeds]}, but its {key} {name} lacks '
                f'{missing}'
            )
        settings[key] = name
    _refuse_circles(model.name, named, where)
    return replace(model, settings=settings)


def _serving(reference: Reference, own: str) -> list[str]:
    """List the kinds of the models that a reference from a model of kind ``own`` may name."""
    return [
        name
        for name, kind in KINDS.items()
        if name == reference.default
        or (kind.of_paths == KINDS[own].of_paths and _serves(reference, name, own))
    ]


def _serves(reference: Reference, name: str, own: str) -> bool:
    return (reference.any_tree and KINDS[name].has_tree) or (reference.any_kind and name != own)


def _refuse_circles(name: str, named: Mapping[str, ModelSpec], where: str) -> None:
    """Follow the references from a model on."""
    seen: list[Any] = [name]
    while (following := named[seen[-1]].settings.get('reference')) in named:
        seen.append(following)
        if following in seen[:-1]:
            raise InputError(f'{where}: refers to itself: {" -> ".join(seen)}')


def _refuse_unknown(entry: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse keys that mean nothing."""
    if unknown := [key for key in entry if key not in known]:
        raise InputError(f'{where}: unknown key {unknown[0]!r}, expected some of {[*known]}')
