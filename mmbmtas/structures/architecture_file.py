"""The file of a branched architecture: a small JSON document to read, review and diff.

This module checks a document's form, key by key, since the file may come from a stranger. What a
document means is the matter of :class:`~mmbmtas.structures.architecture.BranchedArchitecture`.

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.architecture"``
``version``             1
``tasks``               1 to 64 different names, in the order of the architecture parameters
``encoder``             the encoder's config, with its ``type``
``num_layers``          ``L``, at most 1,000
``layers``              a name for each layer, or null
``routing``             for each task its candidate in each layer
``groupings``           for each layer the groups of tasks that share it, as names
``madds``               null, or numbers and lists of numbers by name: ``shape`` (height and width
                        of the input in pixels), ``layers`` (multiply-adds of one copy of each
                        layer), ``network`` (multiply-adds of the whole), ...
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
VERSION = 1


def check_document(document: Any, where: str | os.PathLike) -> None:
    """Check the type and size of every value of a document.

    Args:
        document: What was read.
        where: The file's name, for the message.

    Raises:
        ValueError: If anything is missing, unknown or of another form; the message names the file,
            the key, what was found there and what was expected.
    """
    check_keys(document, where, FORMAT, VERSION, _CHECKS)
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
