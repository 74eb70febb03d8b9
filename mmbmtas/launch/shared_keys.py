"""Keys at the top of a config, filled in at launch wherever an entry is absent.

A key such as ``data_root`` stands for entries of several parts of a config. An entry that the
config states stays as it is; one that it leaves out takes the key's value. Nothing else decides.
What was filled in is noted in the config (``filled_in``), so that a key may still change.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.launch.config_values import check_values
from mmbmtas.launch.decoder_channels import list_channels
from mmbmtas.launch.task_subset import narrow_to_tasks
from mmbmtas.registry import DATASETS, LOOPS, MODELS, find_type, takes

FILLED_IN = 'filled_in'
"""The entry of a config that notes what was filled in: values by dotted name."""

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@dataclass(frozen=True)
class Entry:
    """An entry of a config that a key stands for.

    Attributes:
        place: Its dotted name.
        holder: The dictionary that has it, or would have it.
    """

    place: str
    holder: Any

    @property
    def field(self) -> str:
        """Its name in the dictionary."""
        return self.place.rpartition('.')[2]

    @property
    def is_stated(self) -> bool:
        """Whether the config states it."""
        return self.field in self.holder

    @property
    def value(self) -> Any:
        """Its value, None where the config does not state one."""
        return self.holder.get(self.field)


def plain_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the config of a data set, or of each that wrappers (``ConcatDataset``) hold."""
    return (found for _, found in _placed_datasets(dataset, ''))


def placed_datasets(cfg: Config, loaders: Iterable[str] = _LOADERS) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the config of each data set of some loaders, without wrappers."""
    for name in loaders:
        loader: Any = cfg.get(name) or {}
        if 'dataset' in loader:
            yield from _placed_datasets(loader['dataset'], f'{name}.dataset')


def _placed_datasets(dataset: Any, place: str) -> Iterator[tuple[str, Any]]:
    if dataset.get('datasets'):
        for index, inner in enumerate(dataset['datasets']):
            yield from _placed_datasets(inner, f'{place}.datasets.{index}')
    elif 'dataset' in dataset:
        yield from _placed_datasets(dataset['dataset'], f'{place}.dataset')
    else:
        yield place, dataset


def domain_datasets(dataset: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield the domain and the config of each data set; None where neither it nor wrappers say.

    Args:
        dataset: Config of a data set or of wrappers.
    """
    if inner := dataset.get('datasets'):
        names = dataset.get('domains') or [None] * len(inner)
        for name, one in zip(names, inner, strict=True):
            for own, found in domain_datasets(one):
                yield name or own, found
    elif 'dataset' in dataset:
        yield from domain_datasets(dataset['dataset'])
    else:
        name = dataset.get('name') or dataset.get('domain')
        yield name and name.replace('-', '_'), dataset


def _loop_loaders(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the data loaders in the config of the training loop."""
    for name, value in (cfg.get('train_cfg') or {}).items():
        if name.endswith('dataloader') and value:
            yield f'train_cfg.{name}', value


def _of_datasets(name: str) -> Callable[[Config], Iterator[Entry]]:
    def entries(cfg: Config) -> Iterator[Entry]:
        found = [*placed_datasets(cfg)]
        for loader, content in _loop_loaders(cfg):
            if 'dataset' in content:
                found += _placed_datasets(content['dataset'], f'{loader}.dataset')
        for place, dataset in found:
            if name in dataset or takes(DATASETS, dataset, name, cfg.get('default_scope')):
                yield Entry(f'{place}.{name}', dataset)

    return entries


def _of_tasks(cfg: Config) -> Iterator[Entry]:
    yield from _of_datasets('tasks')(cfg)
    yield from _of('model.backbone', 'tasks', MODELS)(cfg)


def _of(part: str, field: str, registry: Any) -> Callable[[Config], Iterator[Entry]]:
    """Look for an entry of a part of the config, where what the part builds takes it."""

    def entries(cfg: Config) -> Iterator[Entry]:
        holder = find_part(cfg, part)
        if isinstance(holder, Mapping) and (
            field in holder or takes(registry, holder, field, cfg.get('default_scope'))
        ):
            yield Entry(f'{part}.{field}', holder)

    return entries


def find_part(cfg: Any, place: str) -> Any:
    """Return what has a dotted name in a config, None where there is nothing."""
    node = cfg
    for name in place.split('.'):
        if isinstance(node, Mapping | Config):
            node = node.get(name)
        elif isinstance(node, list | tuple) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def _batch_sizes(cfg: Config) -> Iterator[Entry]:
    if cfg.get('train_dataloader'):
        yield Entry('train_dataloader.batch_size', cfg.train_dataloader)
    for place, loader in _loop_loaders(cfg):
        yield Entry(f'{place}.batch_size', loader)


@dataclass(frozen=True)
class Key:
    """A key at the top of a config.

    Attributes:
        name: Its name.
        entries: Lists the entries that it stands for.
        wrap: Makes the value of an entry from that of the key.
        may_give: Tells whether the key may give an entry a value, on some number of ranks.
    """

    name: str
    entries: Callable[[Config], Iterator[Entry]]
    wrap: Callable[[Any], Any] = lambda value: value
    may_give: Callable[[Any, Any], bool] = lambda given, stated: _equal(given, stated)


def _single_checkpoints(paths: Any) -> dict[str, Any]:
    if not isinstance(paths, Mapping):
        raise InputError(
            f'single_checkpoints = {paths!r}: expected a checkpoint for each task, '
            'single_checkpoints.TASK=PATH'
        )
    return {'type': 'SingleCheckpoints', 'checkpoints': dict(paths)}


_TASKS = Key('tasks', _of_tasks)
_BATCH = Key(
    'total_batch_size',
    _batch_sizes,
    may_give=lambda total, own: bool(own) and total % own == 0,
)
_KEYS = {
    key.name: key
    for key in (
        _TASKS,
        Key('data_root', _of_datasets('data_root')),
        Key('max_iters', _of('train_cfg', 'max_iters', LOOPS)),
        Key('weight_iters', _of('train_cfg', 'weight_iters', LOOPS)),
        Key('architecture', _of('model.backbone', 'architecture', MODELS)),
        Key(
            'pretrained',
            _of('model.backbone', 'init_cfg', MODELS),
            wrap=lambda path: {'type': 'Pretrained', 'checkpoint': path},
        ),
        Key('single_checkpoints', _of('model', 'init_cfg', MODELS), wrap=_single_checkpoints),
        Key('cost_shape', _of('model', 'cost_shape', MODELS)),
        _BATCH,
    )
}
SHARED_KEYS = (*_KEYS,)
"""Keys at the top of our configs that stand for entries of several parts."""


def fill_in(cfg: Config) -> Config:
    """Give the entries that a config leaves out the values of its keys, in place.

    ``data_root`` and ``tasks`` go to the data sets, ``tasks`` to a backbone that takes them too;
    ``max_iters`` (``weight_iters`` in a search) to ``train_cfg`` and as ``end`` to the schedulers
    that count iterations; ``architecture``, ``pretrained`` (as ``init_cfg``) to
    ``model.backbone``; ``single_checkpoints`` (as ``init_cfg``) and ``cost_shape`` to ``model``.
    ``total_batch_size`` depends on the ranks, see :func:`share_batch`. ``tasks`` are by default
    those of ``model.decode_heads``; where it names fewer, the other tasks' decoders, labels and
    metrics are left out. Decoders get the encoder's channels.

    Stated entries keep their values; a key whose entries are all stated as something else is taken
    out of the config. The config notes in ``filled_in`` what it was given: called again, this
    function gives those entries the keys' present values.

    Args:
        cfg: The config.

    Returns:
        The config.

    Raises:
        InputError: A value has no meaning.
    """
    release(cfg)
    if isinstance(cfg.get('tasks'), str):
        cfg.tasks = [cfg.tasks]
    check_values(cfg)
    filled: dict[str, Any] = {}
    _fill_tasks(cfg, filled)
    for key in _KEYS.values():
        if key is _TASKS or _is_off(cfg.get(key.name)):
            continue
        given, entries = key.wrap(cfg[key.name]), [*key.entries(cfg)]
        if entries and all(e.is_stated and not _equal(given, e.value) for e in entries):
            cfg.pop(key.name)
        elif key is not _BATCH:
            _fill(entries, given, filled)
    check_values(cfg)
    _end_schedulers(cfg, filled)
    for place, head, channels in list_channels(cfg):
        _fill([Entry(f'{place}.in_channels', head)], channels, filled)
    cfg[FILLED_IN] = filled
    return cfg


def release(cfg: Config) -> None:
    """Remove what was filled in and not changed since, in place."""
    for place, value in (cfg.get(FILLED_IN) or {}).items():
        holder, _, field = place.rpartition('.')
        node: Any = find_part(cfg, holder) if holder else cfg
        if place == 'tasks' and {*value} == {*(find_part(cfg, 'model.decode_heads') or ())}:
            continue  # their order counts, and mmengine sorts decoders when it writes a config
        if isinstance(node, dict | Config) and field in node and node[field] == value:
            node.pop(field)
    cfg.pop(FILLED_IN, None)


def _is_off(value: Any) -> bool:
    """Tell whether the value of a key stands for nothing."""
    return value is None or value == {}


def _fill(entries: Iterable[Entry], value: Any, filled: dict[str, Any]) -> None:
    """Give absent entries a value, and note it."""
    absent = [entry for entry in entries if not entry.is_stated]  # two may be the same dictionary
    for entry in absent:
        entry.holder[entry.field] = value
        filled[entry.place] = value


def _fill_tasks(cfg: Config, filled: dict[str, Any]) -> None:
    """Tell data sets and backbone the tasks, and leave out what ``tasks`` does not name."""
    heads, given = find_part(cfg, 'model.decode_heads'), cfg.get('tasks')
    tasks = [*heads] if isinstance(heads, Mapping) else given
    if tasks is None:
        return
    if given is None:
        cfg.pop('tasks', None)
        _fill([Entry('tasks', cfg)], tasks, filled)
    elif sorted(given) == sorted(tasks):
        tasks = given
    for entry in _of_datasets('tasks')(cfg):
        kind = find_type(DATASETS, entry.holder.get('type'), cfg.get('default_scope'))
        if known := [task for task in tasks if task in getattr(kind, 'TASKS', tasks)]:
            _fill([entry], known, filled)
    if sorted(cfg.tasks) != sorted(tasks):
        narrow_to_tasks(cfg, cfg.tasks)
        filled.clear()  # what data sets were told has changed
    _fill(_of('model.backbone', 'tasks', MODELS)(cfg), [*cfg.tasks], filled)


def has_entries(cfg: Config, name: str) -> bool:
    """Tell whether anything in a config takes a key, or states what it stands for."""
    return any(True for _ in _KEYS[name].entries(cfg))


def has_effect(cfg: Config, name: str, one_rank: bool = True) -> bool:
    """Tell whether a key that a config states fills something in, or equals what is stated.

    Args:
        cfg: The config, not filled in.
        name: Name of the key.
        one_rank: Whether entries are those of a single rank; if not, of an unknown number.
    """
    key, value = _KEYS[name], cfg.get(name)
    if _is_off(value) or (key is _TASKS and find_part(cfg, 'model.decode_heads')):
        return True
    given, agrees = key.wrap(value), _equal if one_rank else key.may_give
    return any(not e.is_stated or agrees(given, e.value) for e in key.entries(cfg))


def idle_key(cfg: Config, name: str) -> InputError:
    """Return an error that says why a key has no effect."""
    text = f'{name} = {cfg[name]!r} has no effect: '
    stated = [f'{entry.place} = {entry.value!r}' for entry in _KEYS[name].entries(cfg)]
    if not stated:
        known = [key for key in _KEYS if has_entries(cfg, key)]
        return InputError(f'{text}nothing in {name_of(cfg)} takes it. Its keys are {known}')
    return InputError(
        f'{text}{name_of(cfg)} states {", ".join(stated[:4])}. State one of the two: {name} is '
        'filled in where these entries are left out'
    )


def name_of(cfg: Config) -> str:
    """Return what messages call a config."""
    return cfg.filename or 'the config'


def _equal(one: Any, other: Any) -> bool:
    """Compare values of entries; a list equals a tuple."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return [*one] == [*other]
    return bool(one == other)


def share_batch(cfg: Config, ranks: int) -> None:
    """Divide ``total_batch_size`` among ranks, for the data loaders that state no batch size.

    Raises:
        InputError: The ranks do not divide it.
    """
    total = cfg.get(_BATCH.name)
    entries = [entry for entry in _batch_sizes(cfg) if not entry.is_stated]
    if total is None or not entries:
        return
    batch_size, rest = divmod(total, ranks)
    if rest:
        raise InputError(
            f'total_batch_size = {total} cannot be shared equally by {ranks} ranks: choose a '
            f'multiple of {ranks}'
        )
    _fill(entries, batch_size, cfg.setdefault(FILLED_IN, {}))


def _end_schedulers(cfg: Config, filled: dict[str, Any]) -> None:
    """Let schedulers that count iterations end with the training, unless they state an end."""
    train_cfg = cfg.get('train_cfg') or {}
    length = train_cfg.get('max_iters') or train_cfg.get('weight_iters')
    if length:
        ends = [Entry(f'{place}.end', scheduler) for place, scheduler in _schedulers(cfg)]
        _fill(ends, length, filled)


def _schedulers(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the dotted names and configs of the schedulers that count iterations."""
    schedulers: Any = cfg.get('param_scheduler') or []
    if isinstance(schedulers, Mapping):
        if 'type' in schedulers:
            found: Any = [('param_scheduler', schedulers)]
        else:
            found = itertools.chain(
                *(_numbered(f'param_scheduler.{name}', one) for name, one in schedulers.items())
            )
    else:
        found = _numbered('param_scheduler', schedulers)
    return ((place, one) for place, one in found if one.get('by_epoch') is False)


def _numbered(place: str, items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f'{place}.{index}', item) for index, item in enumerate(items))
