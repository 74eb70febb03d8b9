"""The folder that a conversion writes to: it holds what one source gave, and nothing else."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmbmtas.errors import OccupiedError
from mmbmtas.writing import folder_place, remove_leftovers, write_json, written_beside

RECORD = 'conversion.json'
"""File in the folder that says what it was converted from."""


def claim(out: Path, folders: Iterable[str], source: Mapping[str, Any]) -> None:
    """Make a data set's folders and a record of their source, or check that they are of it.

    Args:
        out: The data set's folder.
        folders: Those that files will be written to, relative to it.
        source: What decides each file to the byte, as JSON.

    Raises:
        OccupiedError: ``out`` holds something else, or was converted from another source.
    """
    record = out / RECORD
    if not record.is_file():
        folder_place(out)  # refuses a folder in which there is something
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        write_json(source, record)
        return
    try:
        found = json.loads(record.read_text())
    except ValueError:
        found = None
    if found != source:
        raise OccupiedError(
            f'{out} was converted from other files, with other settings, or by another version '
            f'({record}): choose another folder, or remove it'
        )
    for folder in folders:
        remove_leftovers(out / folder)


def write_ids(path: Path, ids: Iterable[str]) -> None:
    """Write a list of ids, one a line."""
    with written_beside(path) as beside:
        beside.write_text(''.join(f'{img_id}\n' for img_id in ids))
