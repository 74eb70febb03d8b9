"""The rows of a comparison and their file, ``results.csv``."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.stats import t

from mmbmtas.errors import InputError
from mmbmtas.evaluation import HeadlineMetric, decathlon_score, delta_m
from mmbmtas.writing import written_beside

TOP1 = 'top1'
"""Name of an accuracy, and of the mean of the domains'."""

_BEFORE = ('run', 'model', 'kind', 'seed', 'member', 'status')
_NUMBERS = (
    *('delta_m', 'madds', 'madds_paper', 'params', 'train_seconds', 'tree_seconds'),
    'latency_ms',
)
_OF_PATHS = ('madds_union', 'madds_prefix', TOP1, 'decathlon_score')
_AFTER = ('latency_place', 'tree', 'settings', 'error')


@dataclass
class Row:
    """A model with a seed, and its results.

    Attributes:
        run: Name of the row.
        model: Name of the model.
        kind: Its kind.
        seed: The seed.
        member: Which of several networks, from 1; 0 if there is only one.
        status: ``done`` or ``failed``.
        metrics: The numbers of the tasks by their keys, NaN where one is not defined.
        numbers: ``madds`` and ``madds_paper`` (multiply-adds in our convention and the paper's),
            ``params``, ``train_seconds``, ``tree_seconds`` (of what chose the tree), ``latency_ms``
            (an image) and ``delta_m`` (percent); of paths ``madds_union`` (each node once),
            ``madds_prefix`` (all domains on one image), ``top1`` (mean of the domains, percent) and
            ``decathlon_score``; those that are known.
        latency_place: What the latency was measured on.
        tree: The tree in words.
        settings: Short name of the settings behind the row.
        error: Name of the step that failed, and the last lines of its log.
    """

    run: str
    model: str
    kind: str
    seed: int
    member: int = 0
    status: str = 'done'
    metrics: dict[str, float] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    latency_place: str = ''
    tree: str = ''
    settings: str = ''
    error: str = ''

    @property
    def is_done(self) -> bool:
        """Whether there are results."""
        return self.status == 'done'


def write_rows(rows: Sequence[Row], keys: Sequence[str], path: str | Path) -> None:
    """Write one row per line; a reader never sees half a file.

    Args:
        rows: The rows.
        keys: Keys of the tasks' numbers, which are columns.
        path: The file.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    of_paths = [name for name in _OF_PATHS if any(name in row.numbers for row in rows)]
    numbers = (*_NUMBERS, *of_paths)
    writer.writerow([*_BEFORE, *keys, *numbers, *_AFTER])
    for row in rows:
        writer.writerow(
            [
                *(getattr(row, name) for name in _BEFORE),
                *(_text(row.metrics.get(key)) for key in keys),
                *(_text(row.numbers.get(name)) for name in numbers),
                *(getattr(row, name) for name in _AFTER),
            ]
        )
    with written_beside(path) as beside:
        beside.write_text(text.getvalue())


def read_rows(path: str | Path) -> list[Row]:
    """Read the file of :func:`write_rows`; without a file there are no rows.

    Raises:
        ValueError: The file is of another form.
    """
    path = Path(path)
    if not path.exists():
        return []
    with path.open(newline='') as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        if missing := [c for c in (*_BEFORE, *_NUMBERS, *_AFTER) if c not in columns]:
            raise InputError(f'{path} is not a table of results: it has no column {missing[0]!r}')
        keys = [column for column in columns if '/' in column]
        return [_read_row(line, keys, f'{path}, line {reader.line_num}') for line in reader]


def _read_row(line: Mapping[str, Any], keys: Iterable[str], where: str) -> Row:
    try:
        return Row(
            run=line['run'],
            model=line['model'],
            kind=line['kind'],
            seed=int(line['seed']),
            member=int(line['member']),
            status=line['status'],
            metrics={key: float(line[key]) for key in keys if line[key]},
            numbers={n: float(line[n]) for n in (*_NUMBERS, *_OF_PATHS) if line.get(n)},
            **{name: line[name] for name in _AFTER},
        )
    except (TypeError, ValueError) as error:
        raise InputError(f'{where}: not a row of results: {error}') from error


def _text(value: float | None) -> str:
    """Write a number as Python reads it back, whole ones without a fraction."""
    if value is None:
        return ''
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


def set_delta_m(
    rows: Sequence[Row], baseline: str | None, headlines: Sequence[HeadlineMetric]
) -> None:
    """Compute Delta_m of every row against the baseline's mean over its seeds.

    With the mean, the noise of one baseline training does not enter all rows of its seed.
    Rows have no Delta_m if one of their numbers, or the baseline's mean of it, is not defined or
    the latter is 0.

    Args:
        rows: The rows, changed in place.
        baseline: Name of the model of single-task networks.
        headlines: The number of each task, with its direction.
    """
    keys = [headline.key for headline in headlines]
    singles = [row for row in rows if row.model == baseline and row.is_done]
    reference: dict[str, float] = {}
    for key in keys:
        values = [row.metrics.get(key, math.nan) for row in singles]
        if known := [value for value in values if math.isfinite(value)]:
            reference[key] = math.fsum(known) / len(known)
    for row in rows:
        row.numbers.pop('delta_m', None)
        if all(
            reference.get(key) and math.isfinite(row.metrics.get(key, math.nan)) for key in keys
        ):
            row.numbers['delta_m'] = delta_m(row.metrics, reference, headlines)


def set_decathlon_scores(rows: Sequence[Row], baseline: str | None) -> None:
    """Compute the decathlon score of every row, against the baseline's mean over its seeds.

    Rows have none where a domain's accuracy, or the baseline's, is not known, or where the baseline
    makes no errors.

    Args:
        rows: The rows, changed in place.
        baseline: Name of the model of independent networks.
    """
    singles = [row for row in rows if row.model == baseline and row.is_done]
    ending = f'/{TOP1}'
    keys = [key for row in singles for key in row.metrics if key.endswith(ending)]
    reference = {
        key: math.fsum(row.metrics.get(key, math.nan) for row in singles) / len(singles)
        for key in dict.fromkeys(keys)
    }
    for row in rows:
        row.numbers.pop('decathlon_score', None)
        known = {key: row.metrics.get(key, math.nan) for key in reference}
        if known and all(map(math.isfinite, known.values())) and max(reference.values()) < 100:
            row.numbers['decathlon_score'] = decathlon_score(known, reference)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample deviation (divisor ``n - 1``); a single value has no deviation."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (len(values) - 1))


def half_interval(values: Sequence[float], level: float = 0.95) -> float | None:
    """Return half the width of the confidence interval of the mean, by Student's t.

    It is None for a single value.
    """
    deviation = mean_and_deviation(values)[1]
    if deviation is None:
        return None
    count = len(values)
    return float(t.ppf((1 + level) / 2, count - 1)) * deviation / math.sqrt(count)
