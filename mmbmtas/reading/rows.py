"""Reads lists of rows from CSV and JSON files."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from mmbmtas.errors import InputError

from .id_lists import read_text


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a CSV file, separated by commas, semicolons or tabs, or a JSON list of objects.

    Args:
        path: The file; CSV ends in ``.csv``. A JSON object may have the list as ``samples``.

    Returns:
        A dictionary for each row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such list.
    """
    text = read_text(path)
    if path.suffix.lower() == '.csv':
        try:
            dialect: Any = csv.Sniffer().sniff(text.partition('\n')[0], delimiters=',;\t')
        except csv.Error:
            dialect = csv.excel  # one column
        reader = csv.DictReader(io.StringIO(text), dialect=dialect)
        return [{str(name).strip(): value for name, value in row.items()} for row in reader]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f'{path}: expected JSON, or a file that ends in .csv: {error}') from error
    rows = content.get('samples') if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f'{path}: expected a list of objects, such as [{{"image": "a.jpg"}}]')
    return rows
