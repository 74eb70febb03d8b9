"""The results of a comparison for a paper: LaTeX (booktabs) and CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbmtas.comparison.report import Summary, paired_differences, summarise
from mmbmtas.comparison.results import Row, half_interval, mean_and_deviation
from mmbmtas.evaluation import HeadlineMetric
from mmbmtas.writing import written_beside

_ESCAPES = {
    **{letter: f'\\{letter}' for letter in '&%$#_{}'},
    **{'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'},
    **{'°': r'\textdegree{}', 'Δ': r'$\Delta$', 'µ': r'\textmu{}', '²': r'$^2$'},
}


@dataclass(frozen=True)
class _Column:
    """A number of the table.

    Attributes:
        key: Its key in the rows.
        names: Its two lines in the head.
        digits: Decimals.
        scale: Factor of the printed number.
        sign: Whether it has a sign always.
        best: ``max``, ``min``, or None where no model is the best.
    """

    key: str
    names: tuple[str, str]
    digits: int
    scale: float = 1.0
    sign: bool = False
    best: str | None = None


def write_tables(
    folder: Path, rows: Sequence[Row], models: Sequence[str], headlines: Sequence[HeadlineMetric]
) -> list[Path]:
    """Write ``table.tex`` and ``table.csv``, and ``differences.*`` if there are differences.

    Args:
        folder: Where to write.
        rows: The rows of the models.
        models: Names of the models, in the order of the tables.
        headlines: The number of each task.

    Returns:
        The files written.
    """
    summaries = [summary for summary in summarise(rows, models) if summary.done]
    texts = {'table.tex': _table(summaries, headlines), 'table.csv': _numbers(summaries, headlines)}
    searched = next((s.model for s in summaries if s.kind == 'searched'), None)
    gains = {
        summary.model: found
        for summary in summaries
        if searched not in (None, summary.model)
        and (found := paired_differences(rows, str(searched), summary.model))
    }
    if gains:
        texts['differences.tex'] = _differences(str(searched), gains)
        texts['differences.csv'] = _difference_numbers(gains)
    for name, text in texts.items():
        with written_beside(folder / name) as beside:
            beside.write_text(text, encoding='utf-8')
    return [folder / name for name in texts]


def _columns(headlines: Sequence[HeadlineMetric]) -> list[_Column]:
    """The numbers of the table, from left to right."""
    columns = []
    for headline in headlines:
        task, metric = headline.key.split('/', 1)
        unit = f' ({headline.unit})' if headline.unit else ''
        best = 'min' if headline.lower_is_better else 'max'
        names = (task.replace('_', ' '), f'{metric}{unit}')
        columns.append(_Column(headline.key, names, headline.digits, best=best))
    columns.append(_Column('delta_m', ('Δm', '(%)'), 2, sign=True, best='max'))
    columns.append(_Column('madds', ('MAdds', '(M)'), 1, 1e-6))
    columns.append(_Column('params', ('params', '(M)'), 2, 1e-6))
    columns.append(_Column('latency_ms', ('time', '(ms)'), 1))
    return columns


def _table(summaries: Sequence[Summary], headlines: Sequence[HeadlineMetric]) -> str:
    """The models' means, their intervals, and the best of each column in bold."""
    columns = [c for c in _columns(headlines) if any(s.values(c.key) for s in summaries)]
    cells = [[_escaped(summary.model) for summary in summaries]]
    cells += [_cells(summaries, column) for column in columns]
    arrows = {'max': r' $\uparrow$', 'min': r' $\downarrow$', None: ''}
    heads = [
        ['model', *(_escaped(column.names[0]) for column in columns)],
        ['', *(_escaped(column.names[1]) + arrows[column.best] for column in columns)],
    ]
    note = (
        "Means over the runs; ± is half of the mean's 95 % interval (Student), where there are "
        'several runs that differ. Bold: the best mean of a task, and of Δm.'
    )
    return _tabular(note, heads, [*zip(*cells, strict=True)], 'l' + 'r' * len(columns))


def _cells(summaries: Sequence[Summary], column: _Column) -> list[str]:
    """A column; means that are printed like the best one are bold."""
    means: dict[str, tuple[float, str]] = {}
    for summary in summaries:
        if found := summary.of(column.key):
            mean = found[0] * column.scale
            text = f'{mean:{"+" if column.sign else ""}.{column.digits}f}'
            means[summary.model] = mean, text
    choose = {'max': max, 'min': min}.get(column.best or '')
    best = choose(means.values())[1] if choose and means else None
    cells = []
    for summary in summaries:
        text = means[summary.model][1] if summary.model in means else ''
        half = half_interval(values) if (values := summary.values(column.key)) else None
        bold = rf'\mathbf{{{text}}}' if text == best else text
        error = rf' \pm {half * column.scale:.{column.digits}f}' if half else ''
        cells.append(f'${bold}{error}$' if text else '--')
    return cells


def _differences(searched: str, gains: dict[str, list[float]]) -> str:
    """Paired differences to the searched tree; in bold where the interval does not hold 0."""
    rows = []
    for model, (mean, low, high) in _intervals(gains).items():
        number = f'{mean:+.2f}'
        interval = '--'
        if low is not None and high is not None:
            interval = f'$[{low:+.2f}, {high:+.2f}]$'
            number = number if low <= 0 <= high else rf'\mathbf{{{number}}}'
        rows.append([_escaped(model), f'${number}$', interval, str(len(gains[model]))])
    note = (
        f'Δm of {searched} minus that of the other model with the same seed, in percentage points, '
        "and its mean's 95 % interval (Student). Bold: the interval does not hold 0."
    )
    head = [[f'{_escaped(searched)} against', 'mean', r'95\,\% interval', 'pairs']]
    return _tabular(note, head, rows, 'lrcr')


def _intervals(
    gains: dict[str, list[float]],
) -> dict[str, tuple[float, float | None, float | None]]:
    """Mean of the differences to each model, and the interval's ends if there are several."""
    found = {}
    for model, differences in gains.items():
        mean, half = mean_and_deviation(differences)[0], half_interval(differences)
        ends = (None, None) if half is None else (mean - half, mean + half)
        found[model] = (mean, *ends)
    return found


def _tabular(
    note: str, heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], alignment: str
) -> str:
    lines = [
        f'% {note}',
        r'% Needs \usepackage{booktabs}.',
        rf'\begin{{tabular}}{{{alignment}}}',
        r'  \toprule',
        *(f'  {" & ".join(head)} \\\\' for head in heads),
        r'  \midrule',
        *(f'  {" & ".join(row)} \\\\' for row in rows),
        r'  \bottomrule',
        r'\end{tabular}',
    ]
    return '\n'.join(lines) + '\n'


def _escaped(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return ''.join(_ESCAPES.get(letter, letter) for letter in text)


def _numbers(summaries: Sequence[Summary], headlines: Sequence[HeadlineMetric]) -> str:
    """All digits: mean, deviation and interval of each number, in its own unit."""
    keys = [column.key for column in _columns(headlines)]
    header = ['model', 'kind', 'runs']
    header += [f'{key} {part}' for key in keys for part in ('mean', 'deviation', 'low', 'high')]
    lines: list[list[object]] = []
    for summary in summaries:
        line: list[object] = [summary.model, summary.kind, len(summary.done)]
        for key in keys:
            values = summary.values(key)
            mean, deviation = mean_and_deviation(values) if values else (None, None)
            half = half_interval(values) if values else None
            ends = (None, None) if half is None or mean is None else (mean - half, mean + half)
            line += [mean, deviation, *ends]
        lines.append(line)
    return _csv(header, lines)


def _difference_numbers(gains: dict[str, list[float]]) -> str:
    lines = [[model, *ends, len(gains[model])] for model, ends in _intervals(gains).items()]
    return _csv(['model', 'mean', 'low', 'high', 'pairs'], lines)


def _csv(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()
