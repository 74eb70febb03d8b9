"""Builds TorchJD's aggregators from configs."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mmbmtas.errors import InputError
from mmbmtas.extras import import_extra


class AggregatorFactory:
    """Builds an aggregator of ``torchjd.aggregation`` for any set of tasks.

    Args:
        cfg: ``type``, the name of a class of theirs or of one that derives from their
            ``Aggregator``, and its arguments. One that is a dictionary,
            ``{task: number}``, becomes a vector with an entry a row.

    Raises:
        ValueError: TorchJD is not installed, has no such aggregator, or refuses its arguments.

    Example:
        >>> factory = AggregatorFactory(dict(type='Constant', weights=dict(semseg=1, edge=2)))
        >>> factory.build(['edge', 'semseg'])(torch.eye(2))
        tensor([2., 1.])
    """

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        found = _aggregators()
        if not isinstance(cfg, Mapping):
            raise InputError(
                f'aggregator = {cfg!r}: expected a dict whose type is one of {sorted(found)}'
            )
        self._options = dict(cfg)
        kind = self._options.pop('type', None)
        self.name = kind.__name__ if kind in found.values() else kind
        if self.name not in found:
            raise InputError(f'aggregator {self.name!r}: expected one of {sorted(found)}')
        self._class = found[self.name]
        named = [option for option in self._options.values() if isinstance(option, Mapping)]
        self.build([*named[0]] if named else ['a', 'b'])  # what cannot work fails at once

    def check_tasks(self, tasks: Sequence[str]) -> None:
        """See that the arguments with numbers by task name no other tasks than a model's.

        Raises:
            ValueError: One does.
        """
        for name, value in self._options.items():
            unknown = [*value.keys() - {*tasks}] if isinstance(value, Mapping) else []
            if unknown:
                raise InputError(
                    f"the aggregator's {name} names {sorted(unknown)}, expected some of {[*tasks]}"
                )

    def build(self, tasks: Sequence[str], device: torch.device | str = 'cpu') -> Any:
        """Build the aggregator of a Jacobian with a row for each of some tasks, in this order."""
        options = {
            name: _vector(name, value, tasks, device) for name, value in self._options.items()
        }
        if 'n_tasks' in inspect.signature(self._class).parameters:
            options['n_tasks'] = len(tasks)
        try:
            return self._class(**options)
        except (ImportError, TypeError, ValueError) as error:  # some need solvers
            raise InputError(f'aggregator {self.name} with {self._options}: {error}') from error


def _aggregators() -> dict[str, Any]:
    """Return TorchJD's aggregators by name, and those of the user's modules."""
    module = import_extra('torchjd.aggregation', 'aggregating gradients needs TorchJD', 'balancing')
    bases = (module.Aggregator, module.WeightedAggregator, module.GramianWeightedAggregator)
    known = {kind.__name__: kind for kind in _derived(module.Aggregator)} | vars(module)
    return {
        name: value
        for name, value in known.items()
        if inspect.isclass(value) and issubclass(value, module.Aggregator) and value not in bases
    }


def _derived(kind: type) -> Iterator[type]:
    """Yield the classes that derive from a class, as far as their modules are imported."""
    derived: type
    for derived in kind.__subclasses__():
        yield derived
        yield from _derived(derived)


def _vector(name: str, value: Any, tasks: Sequence[str], device: torch.device | str) -> Any:
    """Turn numbers by task into a vector; give anything else back as it is."""
    if not isinstance(value, Mapping):
        return value
    missing = [task for task in tasks if task not in value]
    if missing:
        raise InputError(f"the aggregator's {name} names {[*value]}, but not {missing}")
    return torch.tensor([float(value[task]) for task in tasks], device=device)
