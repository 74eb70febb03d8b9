"""Keys at the top of a config, filled in at launch wherever an entry is absent.

A key such as ``data_root`` stands for entries of several parts of a config. An entry that the
config states itself stays as it is; one that it leaves out takes the key's value.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.launch.config_names import file_that_states, read_names
from mmbmtas.launch.config_values import check_values
from mmbmtas.launch.task_subset import narrow_to_tasks
from mmbmtas.registry import DATASETS, MODELS, takes

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
    def value(self) -> Any:
        """Its value, None where the config does not state one."""
        return self.holder.get(self.field)


def plain_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the config of a data set, or of each that wrappers (``ConcatDataset``) hold."""
    return (found for _, found in _placed_datasets(dataset, ''))


def _placed_datasets(dataset: Any, place: str) -> Iterator[tuple[str, Any]]:
    if dataset.get('datasets'):
        for index, inner in enumerate(dataset['datasets']):
            yield from _placed_datasets(inner, f'{place}.datasets.{index}')
    elif 'dataset' in dataset:
        yield from _placed_datasets(dataset['dataset'], f'{place}.dataset')
    else:
        yield place, dataset


def _loaders(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the data loaders, also those in the config of the training loop."""
    for name in _LOADERS:
        if cfg.get(name):
            yield name, cfg[name]
    yield from _loop_loaders(cfg)


def _loop_loaders(cfg: Config) -> Iterator[tuple[str, Any]]:
    for name, value in (cfg.get('train_cfg') or {}).items():
        if name.endswith('dataloader') and value:
            yield f'train_cfg.{name}', value


def _of_datasets(name: str) -> Callable[[Config], Iterator[Entry]]:
    def entries(cfg: Config) -> Iterator[Entry]:
        for loader, content in _loaders(cfg):
            for place, dataset in _placed_datasets(
                content.get('dataset') or {}, f'{loader}.dataset'
            ):
                if name in dataset or takes(DATASETS, dataset, name, cfg.get('default_scope')):
                    yield Entry(f'{place}.{name}', dataset)

    return entries


def _of_tasks(cfg: Config) -> Iterator[Entry]:
    yield from _of_datasets('tasks')(cfg)
    backbone = _part(cfg, 'model.backbone')
    if backbone is not None and takes(MODELS, backbone, 'tasks', cfg.get('default_scope')):
        yield Entry('model.backbone.tasks', backbone)


def _at(place: str) -> Callable[[Config], Iterator[Entry]]:
    def entries(cfg: Config) -> Iterator[Entry]:
        holder = _part(cfg, place.rpartition('.')[0])
        if holder is not None:
            yield Entry(place, holder)

    return entries


def _part(cfg: Config, place: str) -> Any:
    """Return a part of a config that is a dictionary, None where there is none."""
    node: Any = cfg
    for name in place.split('.'):
        node = node.get(name) if isinstance(node, Mapping | Config) else None
    return node if isinstance(node, Mapping) else None


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
        check: Refuses values of another form.
    """

    name: str
    entries: Callable[[Config], Iterator[Entry]]
    wrap: Callable[[Any], Any] = lambda value: value
    check: Callable[[str, Any], None] = lambda name, value: None


def _check_single_checkpoints(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise InputError(
            f'{name} = {value!r}: expected a checkpoint for each task, {name}.TASK=PATH'
        )


_BATCH = Key('total_batch_size', _batch_sizes)
_KEYS = (
    Key('data_root', _of_datasets('data_root')),
    Key('tasks', _of_tasks),
    Key('max_iters', _at('train_cfg.max_iters')),
    Key('weight_iters', _at('train_cfg.weight_iters')),
    Key('architecture', _at('model.backbone.architecture')),
    Key(
        'pretrained',
        _at('model.backbone.init_cfg'),
        wrap=lambda path: {'type': 'Pretrained', 'checkpoint': path},
    ),
    Key(
        'single_checkpoints',
        _at('model.init_cfg'),
        wrap=lambda paths: {'type': 'SingleCheckpoints', 'checkpoints': dict(paths)},
        check=_check_single_checkpoints,
    ),
    Key('cost_shape', _at('model.cost_shape')),
)
SHARED_KEYS = (*(key.name for key in _KEYS), _BATCH.name)
"""Keys at the top of our configs that stand for entries of several parts."""


def fill_in(cfg: Config, options: Mapping[str, Any] | None = None) -> None:
    """Give the entries that a config leaves out the values of its shared keys, in place.

    ``data_root`` and ``tasks`` go to the data sets, ``tasks`` to a backbone that takes them too;
    ``max_iters`` (``weight_iters`` in a search) to ``train_cfg`` and as ``end`` to the schedulers
    that count iterations; ``architecture``, ``pretrained`` (as ``init_cfg``) to
    ``model.backbone``; ``single_checkpoints`` (as ``init_cfg``) and ``cost_shape`` to ``model``.
    ``total_batch_size`` depends on the ranks, see :func:`share_batch`. Where ``tasks`` names fewer
    than the decoders, the other tasks' decoders, labels and metrics are left out.

    Stated entries keep their values. If all entries of a key state something else, the later
    statement counts: the command line's, else that of the file that builds on the other's. Entries
    that come later replace the key.

    Args:
        cfg: The config, its overrides merged.
        options: The overrides by dotted name.

    Raises:
        ValueError: A key has no effect because its entries have other values, or its own value has
            no meaning.
    """
    options = options or {}
    if isinstance(cfg.get('tasks'), str):
        cfg.tasks = [cfg.tasks]
    check_values(cfg)
    for key in _KEYS:
        value = cfg.get(key.name)
        if value is None or value == {}:
            continue
        key.check(key.name, value)
        entries = [*key.entries(cfg)]
        _settle(cfg, key, entries, options)
        if cfg.get(key.name) is not None:
            for entry in entries:
                if entry.value is None:
                    entry.holder[entry.field] = key.wrap(cfg[key.name])
    if cfg.get(_BATCH.name) is not None:
        _settle_batch(cfg, options)
    check_values(cfg)
    _end_schedulers(cfg)
    _narrow(cfg, options)


def release(cfg: Config, options: Mapping[str, Any]) -> None:
    """Remove the entries that equal an overridden key, so that they are filled in again.

    A config that mmengine has written, in a training or by ``tools/misc/print_config.py``, states
    all of them.

    Args:
        cfg: The config, its overrides not yet merged.
        options: The overrides by dotted name.
    """
    for key in (*_KEYS, _BATCH):
        value = cfg.get(key.name)
        if value is None or not _is_option(options, key.name):
            continue
        entries = [*key.entries(cfg)]
        if key.name in ('max_iters', 'weight_iters'):
            entries += [Entry('end', scheduler) for scheduler in _schedulers(cfg)]
        for entry in entries:
            if entry.value is not None and _equal(entry.value, key.wrap(value)):
                del entry.holder[entry.field]


def _settle(cfg: Config, key: Key, entries: Sequence[Entry], options: Mapping[str, Any]) -> None:
    """Decide between a key and entries that have other values."""
    value = key.wrap(cfg[key.name])
    others = [e for e in entries if e.value is not None and not _equal(e.value, value)]
    given = _is_option(options, key.name)
    if not entries and (given or _is_idle(cfg, key)):
        raise InputError(
            f'{key.name} = {cfg[key.name]!r} has no effect: nothing in '
            f'{cfg.filename or "the config"} takes it'
        )
    if key.name == 'tasks' or not others:
        return  # ``tasks`` narrows what is stated
    if len(others) == len(entries):
        free = [entry for entry in others if not _stated_by(options, entry.place)]
        if given or (free and _is_contradicted(cfg, key)):
            raise _conflict(cfg, key, others)
        _follow(cfg, key, others)


def _is_option(options: Mapping[str, Any], name: str) -> bool:
    return any(option == name or option.startswith(f'{name}.') for option in options)


def _stated_by(options: Mapping[str, Any], place: str) -> bool:
    """Tell whether overrides state an entry, a part of it, or something that contains it."""
    for option, value in options.items():
        if option == place or option.startswith(f'{place}.'):
            return True
        if place.startswith(f'{option}.'):
            for name in place[len(option) + 1 :].split('.'):
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is not None:
                return True
    return False


def _is_idle(cfg: Config, key: Key) -> bool:
    """Tell whether a config's own file states a key and makes no use of it."""
    path = file_that_states(cfg.filename, key.name)
    if path is None or path != Path(cfg.filename) or not cfg.get('model'):
        return False
    return key.name not in read_names(path).used


def _is_contradicted(cfg: Config, key: Key) -> bool:
    """Tell whether a file states a key without effect, because its base has stated the entries.

    This is not so if files that build on it state the entries, or if the file computes them from
    the key itself, as in ``train_cfg = dict(max_iters=2 * max_iters)``.
    """
    path = file_that_states(cfg.filename, key.name)
    if path is None:
        return True
    before = Config.fromfile(path)
    entries = [*key.entries(before)]
    value = key.wrap(before[key.name])
    if not entries or any(e.value is None or _equal(e.value, value) for e in entries):
        return False
    names = read_names(path)
    own = {entry.place.partition('.')[0] for entry in entries} <= names.assigned
    return not (own and key.name in names.used)


def _follow(cfg: Config, key: Key, entries: Sequence[Entry]) -> None:
    """Set a key to the value of its entries if they agree; otherwise set it to None."""
    values = [entry.value for entry in entries]
    wraps = key.name in ('pretrained', 'single_checkpoints')
    if wraps or any(not _equal(value, values[0]) for value in values):
        cfg[key.name] = None
    else:
        cfg[key.name] = values[0]


def _equal(one: Any, other: Any) -> bool:
    """Compare values of entries; a list equals a tuple, a path its name."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return [*one] == [*other]
    if isinstance(one, str | Path) and isinstance(other, str | Path):
        return str(one) == str(other)
    return one == other


def _conflict(cfg: Config, key: Key, entries: Sequence[Entry]) -> InputError:
    stated = ', '.join(f'{entry.place} = {entry.value!r}' for entry in entries[:4])
    return InputError(
        f'{key.name} = {cfg[key.name]!r} has no effect: {cfg.filename or "the config"} states '
        f'{stated}. State one of the two: {key.name} is filled in if these entries are '
        'left out'
    )


def _settle_batch(cfg: Config, options: Mapping[str, Any]) -> None:
    """Drop the total if a later statement sets the batch size of a rank."""
    stated = [entry for entry in _batch_sizes(cfg) if entry.value is not None]
    if not stated or _is_option(options, _BATCH.name):
        return
    by_option = any(_stated_by(options, entry.place) for entry in stated)
    if by_option or not _states_batch(cfg):
        cfg[_BATCH.name] = None


def _states_batch(cfg: Config) -> bool:
    """Tell whether the total is stated with or after the batch size of a rank."""
    path = file_that_states(cfg.filename, _BATCH.name)
    if path is None or path == Path(cfg.filename):
        return True
    return any(entry.value is not None for entry in _batch_sizes(Config.fromfile(path)))


def share_batch(cfg: Config, ranks: int) -> None:
    """Divide ``total_batch_size`` among ranks, for the data loaders that state no batch size.

    Raises:
        ValueError: The ranks do not divide it, or a loader states another batch size.
    """
    total = cfg.get(_BATCH.name)
    if total is None:
        return
    batch_size, rest = divmod(total, ranks)
    if rest:
        raise InputError(
            f'total_batch_size = {total} cannot be shared equally by {ranks} ranks: choose a '
            f'multiple of {ranks}'
        )
    for entry in _batch_sizes(cfg):
        if entry.value is None:
            entry.holder[entry.field] = batch_size
        elif entry.value != batch_size:
            raise InputError(
                f'{_BATCH.name} = {total} has no effect: {entry.place} = {entry.value} on each of '
                f'{ranks} ranks. State one of the two'
            )


def _end_schedulers(cfg: Config) -> None:
    """Let schedulers that count iterations end with the training, unless they state an end."""
    train_cfg = cfg.get('train_cfg') or {}
    length = train_cfg.get('max_iters') or train_cfg.get('weight_iters')
    for scheduler in _schedulers(cfg) if length else ():
        if scheduler.get('end') is None:
            scheduler['end'] = length


def _schedulers(cfg: Config) -> Iterator[Any]:
    """Yield the schedulers that count iterations."""
    schedulers: Any = cfg.get('param_scheduler') or []
    if isinstance(schedulers, Mapping):
        named = 'type' not in schedulers
        schedulers = itertools.chain(*schedulers.values()) if named else [schedulers]
    return (scheduler for scheduler in schedulers if scheduler.get('by_epoch') is False)


def _narrow(cfg: Config, options: Mapping[str, Any]) -> None:
    """Remove tasks that ``tasks`` does not name, unless the decoders were stated after it."""
    heads = (cfg.get('model') or {}).get('decode_heads')
    if cfg.get('tasks') is None or not isinstance(heads, Mapping) or {*cfg.tasks} == {*heads}:
        return
    path = file_that_states(cfg.filename, 'tasks')
    if not _is_option(options, 'tasks') and path is not None and path != Path(cfg.filename):
        before = (Config.fromfile(path).get('model') or {}).get('decode_heads') or {}
        if {*before} in (set(), {*cfg.tasks}):
            return
    narrow_to_tasks(cfg, cfg.tasks)
