"""From rows of runs to a table and a plot."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from mmbmtas.visualization.document import Grid, to_markdown
from mmbmtas.visualization.saving import save_figure
from mmbmtas.writing import written_beside

COLUMNS = (
    *('problem', 'seed', 'method', 'tree', 'recovered', 'cost'),
    *('error', 'planted_error', 'shared_error', 'seconds'),
)

SUMMARY = (
    *('method', 'runs', 'recovered', '95 % interval'),
    *('regret', 'cost / budget', 'within 5 %', 'seconds'),
)

Row = Mapping[str, Any]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of earlier runs; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        return [dict(row) for row in csv.DictReader(file)]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write all rows, sorted."""
    with written_beside(path) as beside, beside.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        writer.writeheader()
        order = sorted(rows, key=lambda r: (r['problem'], r['method'], int(r['seed'])))
        writer.writerows(order)


def recovery(rows: Sequence[Row]) -> tuple[float, float, float]:
    """Share of the rows whose tree is the planted one, with Wilson's 95 % interval."""
    found = binomtest(sum(int(row['recovered']) for row in rows), len(rows))
    interval = found.proportion_ci(method='wilson')
    return found.statistic, interval.low, interval.high


def regret(rows: Sequence[Row]) -> float:
    """Mean excess error over the planted tree's, as a share of the shared tree's excess.

    Sums over seeds are divided, not ratios averaged: a seed at which both trees train to nearly the
    same error would count for all. Rows without trainings do not count. NaN where the shared tree
    is the planted one, or nothing was trained.
    """
    trained = [row for row in rows if not math.isnan(float(row['error']))]
    found, planted, shared = (
        sum(float(row[key]) for row in trained)
        for key in ('error', 'planted_error', 'shared_error')
    )
    return (found - planted) / (shared - planted) if shared != planted else math.nan


def write_report(rows: Sequence[Row], folder: Path) -> str:
    """Write ``report.md`` and ``recovery.png``; return the tables."""
    methods = list(dict.fromkeys(str(row['method']) for row in rows))
    problems = list(dict.fromkeys(str(row['problem']) for row in rows))
    table = to_markdown([_summary(rows, methods, problems), _counts(rows, methods, problems)])
    with written_beside(folder / 'report.md') as beside:
        beside.write_text(table, encoding='utf-8')
    _plot(rows, methods, problems, folder / 'recovery.png')
    return table


def _summary(rows: Sequence[Row], methods: Sequence[str], problems: Sequence[str]) -> Grid:
    """Tabulate each method over all problems."""
    lines = []
    for method in methods:
        own = [row for row in rows if row['method'] == method]
        by_problem = [[r for r in own if r['problem'] == p] for p in problems]
        share, low, high = recovery(own)
        regrets = [value for part in by_problem if part and not math.isnan(value := regret(part))]
        costs = np.array([float(row['cost']) for row in own])
        lines.append(
            [
                method,
                f'{len(own)}',
                f'{share:.0%}',
                f'{low:.0%} to {high:.0%}',
                f'{np.mean(regrets) if regrets else math.nan:.2f}',
                f'{costs.min():.2f} to {costs.max():.2f}',
                f'{np.mean(np.abs(costs - 1) <= 0.05):.0%}',
                f'{np.median([float(row["seconds"]) for row in own]):.0f}',
            ]
        )
    return Grid(SUMMARY, lines)


def _counts(rows: Sequence[Row], methods: Sequence[str], problems: Sequence[str]) -> Grid:
    """Tabulate how many trees each method found of each problem."""
    lines = []
    for method in methods:
        cells = []
        for problem in problems:
            part = [r for r in rows if r['method'] == method and r['problem'] == problem]
            cells.append(f'{sum(int(r["recovered"]) for r in part)} of {len(part)}' if part else '')
        lines.append([method, *cells])
    return Grid(['recovered', *problems], lines)


def _plot(rows: Sequence[Row], methods: Sequence[str], problems: Sequence[str], path: Path) -> None:
    """Draw recovery by problem, and over all, as a table of colours."""
    found, made = np.zeros((2, len(problems) + 1, len(methods)), int)
    for row in rows:
        place = problems.index(str(row['problem'])), methods.index(str(row['method']))
        found[place] += int(row['recovered'])
        made[place] += 1
    complete = (made[:-1] > 0).all(axis=0)  # a sum over some of the problems would mislead
    for counts in (found, made):
        counts[-1, complete] = counts[:, complete].sum(axis=0)
    shares = np.divide(found, made, out=np.full(made.shape, np.nan), where=made > 0)
    names = [*problems, 'all']
    size = (2.2 + 0.07 * max(map(len, names)) + 0.6 * len(methods), 1.5 + 0.28 * len(names))
    figure = Figure(size, layout='constrained')
    axis = figure.subplots()
    image = axis.imshow(shares, cmap='viridis', vmin=0, vmax=1, aspect='auto')
    for (i, j), share in np.ndenumerate(shares):
        if not np.isnan(share):
            colour = 'black' if share > 0.6 else 'white'
            text = f'{found[i, j]}/{made[i, j]}'
            axis.text(j, i, text, ha='center', va='center', fontsize=7, color=colour)
    axis.set_xticks(range(len(methods)), methods, rotation=40, ha='right', fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.axhline(len(problems) - 0.5, color='white', linewidth=2)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label='planted tree found', shrink=0.9)
    save_figure(figure, path)
