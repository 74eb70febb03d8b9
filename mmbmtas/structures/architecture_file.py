"""The file of a searched architecture: a small JSON document to read, review and diff.

This module checks a document's form, key by key, since the file may come from a stranger. What a
document means is the matter of :class:`~mmbmtas.structures.architecture.BranchedArchitecture` and
:class:`~mmbmtas.structures.paths.PathArchitecture`.

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.architecture"``
``version``             1, of trees; 2 says the rule by which tasks share
``sharing``             version 2: ``"prefix"`` (tasks share a layer if their routings agree up to
                        it: a tree) or ``"node"`` (if they take its same candidate: paths)
``tasks``               1 to 64 different names, in the order of the architecture parameters; of
                        paths, the domains
``encoder``             the encoder's config, with its ``type``
``num_layers``          ``L``, at most 1,000
``layers``              a name for each layer, or null
``candidates``          version 2: for paths what each layer may be, lists of different objects of
                        numbers, truth values or texts, ``{"zero": true}`` for none; else null
``routing``             for each task its candidate in each layer
``groupings``           for each layer the groups of tasks that share it, as names
``madds``               null, or numbers and lists of numbers by name: ``shape`` (height and width
                        of the input in pixels), ``layers`` (multiply-adds of one copy of each
                        layer), ``network`` (multiply-adds of the whole), ...; of paths
                        ``per_domain``, ``sum``, ``union`` and ``prefix``
``source``              null, or text or an object: where the architecture came from
======================  ==========================================================================
"""

import os
from collections.abc import Callable
from typing import Any

from .documents import (
    MAX_LAYERS,
    MAX_TASKS,
    SOURCE_CHECK,
    are_tasks,
    check_keys,
    expect,
    is_amount,
    is_count,
    is_encoder,
    is_name,
    list_of,
)
from .documents import write_document as write_document  # here in version 0.1.0

FORMAT = 'mmbmtas.architecture'
MAX_CANDIDATES = 1000
PREFIX, NODE = 'prefix', 'node'


def check_document(document: Any, where: str | os.PathLike) -> None:
    """Check the type and size of every value of a document.

    Args:
        document: What was read.
        where: The file's name, for the message.

    Raises:
        ValueError: If anything is missing, unknown or of another form; the message names the file,
            the key, what was found there and what was expected.
    """
    version = document.get('version') if isinstance(document, dict) else 1
    known = type(version) is int and version in (1, 2)
    expect(known, where, 'version', version, '1 or 2')
    later = version == 2
    checks = {**_CHECKS, **_CHECKS_2} if later else _CHECKS
    check_keys(document, where, FORMAT, 2 if later else 1, checks)
    tasks, num_layers, routing = document['tasks'], document['num_layers'], document['routing']
    # In any order: configs that were dumped have their keys sorted.
    expect(sorted(routing) == sorted(tasks), where, 'routing', [*routing], f'the tasks, {tasks}')
    per_layer = {f'routing.{task}': candidates for task, candidates in routing.items()}
    per_layer['groupings'] = document['groupings']
    if document['layers'] is not None:
        per_layer['layers'] = document['layers']
    if document['madds'] is not None and 'layers' in document['madds']:
        per_layer['madds.layers'] = document['madds']['layers']
    for key, values in per_layer.items():
        expect(
            len(values) == num_layers, where, key, len(values), f'{num_layers}, one for each layer'
        )
    if later:
        _check_candidates(document, where)


def _check_candidates(document: dict[str, Any], where: str | os.PathLike) -> None:
    """Check what version 2 adds."""
    layers = document['candidates']
    if document['sharing'] == PREFIX:
        expect(layers is None, where, 'candidates', layers, 'null where sharing is "prefix"')
        return
    key, count = 'candidates', document['num_layers']
    expect(list_of(list_of(_is_object))(layers), where, key, layers, 'for each layer a list')
    expect(len(layers) == count, where, key, len(layers), f'{count}, one for each layer')
    for layer, candidates in enumerate(layers):
        key, count = f'candidates[{layer}]', len(candidates)
        expect(1 <= count <= MAX_CANDIDATES, where, key, count, f'1 to {MAX_CANDIDATES} of them')
        for index, candidate in enumerate(candidates):
            key = f'candidates[{layer}][{index}]'
            expect(_is_candidate(candidate), where, key, candidate, _CANDIDATE)
            twin = candidates.index(candidate)
            expect(twin == index, where, key, candidate, f'another than candidate {twin}')
        for task, path in document['routing'].items():
            key = f'routing.{task}[{layer}]'
            expect(path[layer] < count, where, key, path[layer], f'a candidate, 0 to {count - 1}')


_CANDIDATE = 'an object of numbers, truth values or texts by name, or {"zero": true} alone'


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_candidate(value: dict[str, Any]) -> bool:
    if 'zero' in value:
        return value['zero'] is True and len(value) == 1
    names = all(is_name(name) and name.isidentifier() for name in value)
    return names and all(
        is_amount(entry) or isinstance(entry, bool | str) for entry in value.values()
    )


def is_madds(value: Any) -> bool:
    """Tell whether a value maps names to amounts or lists of amounts, as the table above says."""
    if not isinstance(value, dict):
        return False
    shape = value.get('shape', [1, 1])
    return (
        all(is_amount(amount) or list_of(is_amount)(amount) for amount in value.values())
        and list_of(is_count)(shape)
        and len(shape) == 2
        and isinstance(value.get('layers', []), list)
        and is_amount(value.get('network', 0))
    )


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    'format': (is_name, 'text'),
    'version': (is_count, 'an integer'),
    'tasks': (are_tasks, f'1 to {MAX_TASKS} different identifiers'),
    'encoder': (is_encoder, 'an object with a "type"'),
    'num_layers': (
        lambda value: is_count(value) and 1 <= value <= MAX_LAYERS,
        f'an integer from 1 to {MAX_LAYERS}',
    ),
    'layers': (
        lambda value: value is None or list_of(is_name)(value),
        'null or layer names of at most 100 characters',
    ),
    'routing': (
        lambda value: isinstance(value, dict) and all(map(list_of(is_count), value.values())),
        'for each task a list of candidates, integers from 0',
    ),
    'groupings': (
        list_of(list_of(list_of(is_name))),
        'for each layer a list of groups, lists of task names',
    ),
    'madds': (
        lambda value: value is None or is_madds(value),
        'null, or non-negative numbers or lists of them by name ("shape" two integers, '
        '"layers" a list, "network" a number)',
    ),
    'source': SOURCE_CHECK,
}
_CHECKS_2: dict[str, tuple[Callable[[Any], bool], str]] = {
    'sharing': (lambda value: value in (PREFIX, NODE), '"prefix" or "node"'),
    'candidates': (lambda value: value is None or isinstance(value, list), 'null or a list'),
}
