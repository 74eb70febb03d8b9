"""The description of an exported network, in the model's metadata and in a JSON file.

======================  ==========================================================================
key                     value
======================  ==========================================================================
``format``              ``"mmbmtas.network"``
``version``             1
``input``               ``name``, ``type`` (uint8), ``layout`` (NCHW), ``channels`` (RGB), ``range``
                        (0 to 255), ``shape`` (four sizes; names where any size will do)
``padding``             null, or how the graph pads images: the least ``size`` (height, width), what
                        they become multiples of (``divisor``), and the ``value`` of the border;
                        with ``scale`` it scales them before, bilinearly by this factor, and brings
                        outputs back to their size
``postprocess``         ``none``: maps, undecided; ``decision``: predictions
``precision``           of weights and features: ``float32``, ``float16`` or, but for the last
                        layers, ``int8``
``tasks``               by name, in the order of the outputs: ``output`` (classes, probability,
                        normals or value), ``channels`` of the map, ``holds`` (what the numbers of
                        the output are), ``type`` of the output, ``kind`` if a data set states it,
                        ``unit``, names of ``classes`` and their colours (``palette``), or null
``backbone``            type of the backbone
``encoder``             the encoder's config
``architecture``        the tree of these tasks, as ``architecture.json`` has it, or null
``madds``               ``shape`` (height, width) and ``network``, the multiply-adds at that size,
                        after scaling; null where they were not counted
``source``              names of config and checkpoint, versions of mmbmtas and torch; with 8 bits
                        also ``calibration``: the ``images`` it was done on, their number, and the
                        metrics in ``float32`` and in ``int8``
======================  ==========================================================================
"""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, get_args

from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads.outputs import Output
from mmbmtas.structures.documents import (
    MAX_BYTES,
    MAX_NAME,
    Document,
    are_tasks,
    check_keys,
    expect,
    is_amount,
    is_count,
    is_encoder,
    is_name,
    list_of,
)

FORMAT = 'mmbmtas.network'
VERSION = 1
INPUT = 'image'
"""Name of the input."""

PRECISIONS = ('float32', 'float16', 'int8')

_PREFIX = 'mmbmtas.'
_MAX_CLASSES = 65_536


def to_metadata(description: Document) -> dict[str, str]:
    """Write a description as names and texts, one for each of its keys."""
    return {_PREFIX + key: json.dumps(value) for key, value in description.items()}


def from_metadata(metadata: Mapping[str, str], where: str | os.PathLike) -> Document:
    """Read a description from a model's metadata, which may be untrusted.

    Args:
        metadata: Names and texts.
        where: The file's name, for messages.

    Raises:
        InputError: They are no description, or not one that this version reads.
    """
    texts = {
        name.removeprefix(_PREFIX): text
        for name, text in metadata.items()
        if name.startswith(_PREFIX)
    }
    if not texts:
        raise InputError(
            f'{os.fspath(where)} does not describe its tasks: expected a network that '
            'tools/export_onnx.py has written'
        )
    length = sum(map(len, texts.values()))
    expect(length <= MAX_BYTES, where, 'metadata', str(length), f'at most {MAX_BYTES} characters')
    try:
        document = {name: json.loads(text) for name, text in texts.items()}
    except (ValueError, RecursionError) as error:
        raise InputError(f'{os.fspath(where)}: its metadata cannot be read: {error}') from error
    check_keys(document, where, FORMAT, VERSION, _CHECKS)
    expect(are_tasks([*document['tasks']]), where, 'tasks', [*document['tasks']], 'identifiers')
    for task, entry in document['tasks'].items():
        expect(_is_task(entry), where, f'tasks.{task}', entry, 'an entry as a network has it')
    return document


def dataset_meta(description: Document) -> dict[str, dict[str, Any]]:
    """Return ``classes``, ``palette``, ``units`` and ``task_kinds`` by task, those that there are.

    They are as the metainfo of a data set has them.
    """
    names = {'classes': 'classes', 'palette': 'palette', 'units': 'unit', 'task_kinds': 'kind'}
    return {
        key: {
            task: entry[name]
            for task, entry in description['tasks'].items()
            if entry[name] is not None
        }
        for key, name in names.items()
    }


def _is_task(entry: Any) -> bool:
    """Tell whether a value says of a task what the table above lists."""
    if not isinstance(entry, dict) or {*entry} != _TASK_KEYS:
        return False
    classes, palette = entry['classes'], entry['palette']
    return (
        entry['output'] in get_args(Output)
        and is_count(entry['channels'])
        and 1 <= entry['channels'] <= _MAX_CLASSES
        and all(is_name(entry[key]) for key in ('holds', 'type'))
        and all(entry[key] is None or is_name(entry[key]) for key in ('unit', 'kind'))
        and (classes is None or list_of(is_name)(classes))
        and (palette is None or (list_of(_is_colour)(palette) and len(palette) <= 256))
    )


def _is_colour(value: Any) -> bool:
    return list_of(is_count)(value) and len(value) == 3 and max(value) <= 255


def _is_size(value: Any) -> bool:
    return list_of(is_count)(value) and len(value) == 2


_TASK_KEYS = {'output', 'channels', 'holds', 'type', 'kind', 'unit', 'classes', 'palette'}
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    'format': (is_name, 'text'),
    'version': (is_count, 'an integer'),
    'input': (
        lambda value: isinstance(value, dict) and value.get('name') == INPUT,
        f'an object whose "name" is "{INPUT}"',
    ),
    'padding': (
        lambda value: (
            value is None
            or (
                isinstance(value, dict)
                and _is_size(value.get('size'))
                and is_count(value.get('divisor'))
                and is_amount(value.get('scale', 1))
                and value.get('scale', 1) > 0
            )
        ),
        'null, or an object with "size" and "divisor", and "scale" above 0 if at all',
    ),
    'postprocess': (lambda value: value in ('none', 'decision'), '"none" or "decision"'),
    'precision': (lambda value: value in PRECISIONS, ' or '.join(PRECISIONS)),
    'tasks': (lambda value: isinstance(value, dict), 'an object with an entry for each task'),
    'backbone': (is_name, f'text of at most {MAX_NAME} characters'),
    'encoder': (is_encoder, 'an object with a "type"'),
    'architecture': (lambda value: value is None or isinstance(value, dict), 'null or an object'),
    'madds': (
        lambda value: (
            value is None
            or (
                isinstance(value, dict)
                and _is_size(value.get('shape'))
                and is_count(value.get('network'))
            )
        ),
        'null, or an object with "shape" and "network"',
    ),
    'source': (lambda value: isinstance(value, dict), 'an object'),
}
