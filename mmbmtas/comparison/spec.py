"""What a comparison is of: the file that lists its models, read and checked.

The file is a Python config of mmengine's; ``_base_`` works. Its keys, and those of a model by its
kind, are listed in ``docs/compare.md``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import DictAction

from mmbmtas import launch
from mmbmtas.errors import InputError
from mmbmtas.launch.config_file import read_config_file

KINDS: dict[str, dict[str, Any]] = {
    'single': {},
    'shared': {},
    'all_apart': {},
    'searched': {'search': None, 'search_options': {}},
    'random': {'reference': None, 'budget': None, 'tolerance': 0.02, 'number': 1},
    'vanilla': {'reference': None, 'budget': None},
    'permutations': {'reference': None, 'number': 5},
    'fafs': {'shared': None, 'alpha': 1.0, 'images': 500},
    'bmn': {'single': None, 'reference': None, 'budget': None, 'images': 500},
    'tree': {'architecture': None},
    'exchange': {'config': None, 'single': None},
}
"""Kinds of models, with the keys that each of them may have and their defaults."""

_COMMON = ('kind', 'seeds', 'options')
_TOP = (
    *('data_root', 'search', 'branched', 'seeds', 'models', 'headlines', 'paper'),
    *('cfg_options', 'search_options', 'train_options'),
)
_TREES = tuple(kind for kind in KINDS if kind not in ('single', 'exchange'))
_REFERENCES = {
    'reference': _TREES,
    'single': ('single',),
    'shared': ('shared',),
}
"""Keys that name another model, and the kinds that it may be of."""


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model of the comparison: how its networks come about, and for which seeds.

    Attributes:
        name: Its name, in tables and of folders.
        kind: One of :data:`KINDS`.
        seeds: Seeds of its trainings.
        options: Overrides of its training's config, those of all models included.
        settings: The keys of its kind, all of them.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]

    @property
    def number(self) -> int:
        """Networks a seed: several random trees or permutations."""
        return self.settings.get('number', 1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a file asks for.

    Attributes:
        path: The file.
        branched: Config of the training of branched networks.
        search: Config of the search, if there is one.
        models: The models, in the order of the tables.
        data_root: Where the data lie, if not where the configs say.
        options: Overrides of every training's config.
        headlines: For some tasks, which of its metrics stands for it.
        paper: File with the paper's figures, to print beside.
    """

    path: str
    branched: str
    search: str | None
    models: tuple[ModelSpec, ...]
    data_root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    headlines: tuple[str, ...] = ()
    paper: str | None = None

    def model(self, name: str) -> ModelSpec:
        """Return the model of a name."""
        return next(model for model in self.models if model.name == name)

    def first(self, kind: str) -> ModelSpec | None:
        """Return the first model of a kind, if there is one."""
        return next((model for model in self.models if model.kind == kind), None)


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
    for key in ('models', 'cfg_options', 'search_options', 'train_options'):
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
    options = {
        key: _flat(content.get(key, {}), f'{path}: {key}')
        for key in ('cfg_options', 'search_options', 'train_options')
    }
    models = [
        model
        for name, entry in content['models'].items()
        for model in _read_models(str(name), entry, content, options, path)
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


def _read_models(
    name: str,
    entry: Any,
    content: Mapping[str, Any],
    all_options: Mapping[str, Mapping[str, Any]],
    path: str,
) -> Sequence[ModelSpec]:
    """Read one entry, which stands for several models if it lists several alphas.

    Args:
        name: Its name.
        entry: The entry.
        content: The file's.
        all_options: Overrides for all models, by their key in the file.
        path: The file.
    """
    where = f'{path}: {name}'
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.+-]*', name):
        raise InputError(f'{where}: names consist of letters, digits and _ . + -')
    if not isinstance(entry, Mapping) or entry.get('kind') not in KINDS:
        kind = entry.get('kind') if isinstance(entry, Mapping) else entry
        raise InputError(f'{where}: kind {kind!r}, expected one of {[*KINDS]}')
    defaults = KINDS[entry['kind']]
    _refuse_unknown(entry, (*_COMMON, *defaults), where)
    settings = {key: entry.get(key, default) for key, default in defaults.items()}
    options = {
        **all_options['cfg_options'],
        **all_options['train_options'],
        **_flat(entry.get('options', {}), f'{where}: options'),
    }
    if entry['kind'] == 'searched':
        settings['search'] = settings['search'] or content.get('search')
        if not settings['search']:
            raise InputError(f'{where}: no config of the search, neither here nor at the top')
        settings['search_options'] = {
            **all_options['cfg_options'],
            **all_options['search_options'],
            **_flat(settings['search_options'], f'{where}: search_options'),
        }
    for key, what in (
        ('search', 'the config to train'),
        ('config', 'the config to train'),
        ('architecture', 'the file of the tree'),
    ):
        if key in settings:
            if not settings[key]:
                raise InputError(f'{where}: {key}, {what}, is missing')
            settings[key] = launch.find_beside_config(settings[key], path, f'{where}: {key}')
    _check_numbers(settings, where)
    seeds = _read_seeds(entry.get('seeds', content.get('seeds', [0])), where)
    alphas = settings.get('alpha')
    if not isinstance(alphas, Sequence):
        return [ModelSpec(name, entry['kind'], seeds, options, settings)]
    return [
        ModelSpec(f'{name}_{alpha:g}', 'fafs', seeds, options, {**settings, 'alpha': alpha})
        for alpha in alphas
    ]


def _flat(options: Any, where: str) -> dict[str, Any]:
    """Name nested entries by their path, as the command line does.

    Raises:
        ValueError: The command line cannot say a value.
    """
    if not isinstance(options, Mapping):
        raise InputError(f'{where} should be a dict, not {options!r:.60}')
    flat: dict[str, Any] = {}
    for key, value in options.items():
        name = f'{where}: {key}'
        if isinstance(value, Mapping) and value:
            flat |= {f'{key}.{inner}': item for inner, item in _flat(value, name).items()}
        elif '=' in str(key) or not _survives(value):
            raise InputError(
                f'{name} = {value!r:.60} cannot be handed on as --cfg-options: values are numbers, '
                'True, False, None, plain words, and lists or tuples of these; dicts have entries. '
                'Put it into a config that has this one as its _base_'
            )
        else:
            flat[key] = value
    return flat


def _survives(value: Any) -> bool:
    """Tell whether ``--cfg-options`` gives a value back as it was."""
    try:
        return repr(DictAction._parse_iterable(format_option(value))) == repr(value)
    except AssertionError:  # brackets without a counterpart
        return False


def format_option(value: Any) -> str:
    """Write a value as ``--cfg-options`` reads it."""
    if isinstance(value, list | tuple):
        opening, closing = '()' if isinstance(value, tuple) else '[]'
        return opening + ','.join(map(format_option, value)) + closing
    return str(value)


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
    for key, kinds in _REFERENCES.items():
        if key not in settings or (key == 'reference' and settings.get('budget') is not None):
            continue
        if model.kind == 'exchange' and settings[key] is None:
            continue  # starts from no single-task networks
        wanted = 'searched' if key == 'reference' else key
        name = settings[key] or next((m.name for m in named.values() if m.kind == wanted), None)
        if name is None:
            raise InputError(f'{where}: needs a model of kind {wanted!r} ({key}), there is none')
        if name not in named or named[name].kind not in kinds or name == model.name:
            raise InputError(
                f'{where}: {key} {name!r}, expected a model of kind '
                f'{" or ".join(map(repr, kinds))}: there are '
                f'{[m.name for m in named.values() if m.kind in kinds and m.name != model.name]}'
            )
        if named[name].number > 1:
            raise InputError(
                f'{where}: {key} {name!r} has {named[name].number} trees a seed (number), '
                'expected a model with one'
            )
        if missing := [seed for seed in model.seeds if seed not in named[name].seeds]:
            raise InputError(
                f'{where}: runs with the seeds {[*model.seeds]}, but its {key} {name} lacks '
                f'{missing}'
            )
        settings[key] = name
    _refuse_circles(model.name, named, where)
    return ModelSpec(model.name, model.kind, model.seeds, model.options, settings)


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
