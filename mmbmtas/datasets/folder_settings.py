"""From the settings of a user's own folder to the readers of its labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from mmbmtas.errors import InputError
from mmbmtas.reading import read_id_list
from mmbmtas.structures.tasks import IGNORE_INDEX
from mmbmtas.structures.values import (
    require_colours,
    require_count,
    require_number,
    require_numbers,
    require_switch,
    require_text,
)

from .folder_labels import (
    BinaryLabel,
    ClassesLabel,
    FolderLabel,
    ImageLabel,
    NormalsLabel,
    ValueLabel,
)

_KINDS: dict[str, type[FolderLabel]] = {
    kind.KIND: kind for kind in (ClassesLabel, BinaryLabel, ValueLabel, NormalsLabel, ImageLabel)
}


def build_labels(labels: Any, data_root: str | Path) -> dict[str, FolderLabel]:
    """Build the readers of a data set's tasks.

    Args:
        labels: For each task a dictionary of its ``kind`` and the settings of this kind.
        data_root: Where files of names are looked for.

    Raises:
        InputError: A task or a setting has another form than expected.
        MissingFileError: A file of class names is missing.
    """
    if not isinstance(labels, Mapping) or not labels:
        raise InputError(
            f'labels {labels!r} of FolderMT: expected a dict of tasks, such as '
            "labels=dict(masks=dict(kind='classes', classes=['sky', 'road']))"
        )
    return {task: _build_label(task, dict(labels[task]), data_root) for task in labels}


def _build_label(task: str, options: dict[str, Any], data_root: str | Path) -> FolderLabel:
    where = f'labels.{task}'
    if not task.isidentifier() or task in ('img', 'label_map'):
        raise InputError(f'{where}: expected a name of letters, digits and _ that is not taken')
    kind = _KINDS.get(options.pop('kind', None))
    if kind is None:
        raise InputError(f'{where}.kind: expected one of {", ".join(_KINDS)}')
    known = {field.name: field for field in fields(kind) if field.name != 'task'}
    for name in options:
        if name not in known:
            raise InputError(
                f'{where}.{name}: labels of kind {kind.KIND} have the settings {", ".join(known)}'
            )
    options.setdefault('files', f'{task}/{{stem}}')
    options.setdefault('variable', task)
    missing = [name for name, field in known.items() if _is_needed(field) and name not in options]
    if missing:
        raise InputError(f'{where}: labels of kind {kind.KIND} need {", ".join(missing)}')
    if 'classes' in options:
        options['classes'] = _class_names(f'{where}.classes', options['classes'], data_root)
    for name, value in options.items():
        if name in _CHECKS and value is not None:
            options[name] = _CHECKS[name](f'{where}.{name}', value)
    return kind(task=task, **options)


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _class_names(where: str, value: Any, data_root: str | Path) -> tuple[str, ...]:
    """Names of classes: a list, a file of one name a line, or their number."""
    if isinstance(value, str):
        value = read_id_list(Path(data_root, value))
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [f'class {index}' for index in range(require_count(where, value, most=255))]
    listed = isinstance(value, Sequence) and all(isinstance(name, str) for name in value)
    if not listed or not 2 <= len(value) <= IGNORE_INDEX:
        raise InputError(
            f'{where} {value!r:.80}: expected 2 to 255 names, a file with a name on each line, or '
            'their number'
        )
    return tuple(value)


def _ignore(where: str, value: Any) -> Any:
    """Return the values to leave out: a number or several, or colours."""
    if isinstance(value, list | tuple) and any(isinstance(entry, list | tuple) for entry in value):
        return require_colours(where, value)
    return require_numbers(where, value)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    'ids': require_numbers,
    'colours': require_colours,
    'ignore': _ignore,
    'scale': require_number,
    'offset': require_number,
    'invalid': require_numbers,
    'unit': require_text,
    'variable': require_text,
    'shrinks': require_switch,
}
