"""The results of a comparison as tables and pictures: ``report.md`` and ``report.html``."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbmtas.comparison.budget_report import budgets_block
from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.model_summary import Summary, summarise, tree_file
from mmbmtas.comparison.path_report import domains_block, similarity_block
from mmbmtas.comparison.results import TOP1, Row, half_interval, mean_and_deviation
from mmbmtas.errors import InputError
from mmbmtas.evaluation import HeadlineMetric
from mmbmtas.structures import BranchedArchitecture, DenseCell
from mmbmtas.structures.documents import read_document
from mmbmtas.visualization.affinity import plot_affinities_and_tree
from mmbmtas.visualization.cells import draw_cell
from mmbmtas.visualization.comparison import Point, plot_pareto, plot_trees
from mmbmtas.visualization.document import (
    Block,
    Code,
    Grid,
    Heading,
    Paragraph,
    Picture,
    to_html,
    to_markdown,
)
from mmbmtas.writing import written_beside


def paired_differences(
    rows: Sequence[Row], model: str, other: str, key: str = 'delta_m'
) -> list[float]:
    """Subtract a number of another model from that of a model, seed by seed.

    Several rows of a model and seed count by their mean; seeds that one of them lacks are left out.
    """
    by_seed = []
    for name in (model, other):
        values: dict[int, list[float]] = {}
        for row in rows:
            if row.model == name and key in row.numbers:
                values.setdefault(row.seed, []).append(row.numbers[key])
        by_seed.append({seed: math.fsum(found) / len(found) for seed, found in values.items()})
    mine, others = by_seed
    return [mine[seed] - others[seed] for seed in sorted(mine) if seed in others]


def write_report(
    folder: Path,
    title: str,
    command: str,
    rows: Sequence[Row],
    models: Sequence[str],
    headlines: Sequence[HeadlineMetric],
    paper: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the report and its pictures.

    Args:
        folder: Of the results; its ``trees/`` and ``affinities/`` are read.
        title: Heading of the report.
        command: The command line that made it.
        rows: The rows of the models.
        models: Names of the models, in the order of the tables.
        headlines: The number of each task.
        paper: Content of a file with the paper's figures, see :func:`read_paper`.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summaries = summarise(rows, models)
    blocks = [
        Heading(title, 1),
        Paragraph('Written by this command, which continues after an interruption:'),
        Code(command),
        *_results(summaries, headlines, rows),
        *domains_block(summaries),
        *_comparison(summaries, rows),
        *similarity_block(folder, summaries),
        *_pictures(folder, summaries),
        *_trees(summaries),
        *budgets_block(folder, summaries),
        *_failures(summaries),
        *(_paper(paper) if paper else ()),
    ]
    written = [block.path for block in blocks if isinstance(block, Picture)]
    for name, text in (('report.md', to_markdown(blocks)), ('report.html', to_html(blocks))):
        with written_beside(folder / name) as beside:
            beside.write_text(text)
        written.append(folder / name)
    return written


def _results(
    summaries: Sequence[Summary], headlines: Sequence[HeadlineMetric], rows: Sequence[Row]
) -> list[Block]:
    """The main table."""
    header = ['model', 'runs']
    for h in headlines:
        arrow = '↓' if h.lower_is_better else '↑'
        header.append(' '.join(filter(None, [*h.key.split('/', 1), h.unit, arrow])))
    header += ['Δm % ↑', 'MAdds M', "MAdds M (paper's)", 'params M', 'ms']
    header += ['tree s', 'train s']
    lines = []
    for summary in summaries:
        line = [summary.model, str(len(summary.done))]
        line += [summary.cell(h.key, h.digits) for h in headlines]
        line.append(summary.cell('delta_m', 2, sign=True))
        line += [summary.cell(key, 1, 1e-6) for key in ('madds', 'madds_paper')]
        line.append(summary.cell('params', 3, 1e-6))
        line.append(summary.cell('latency_ms', 1))
        line += [summary.cell(key, 0) for key in ('tree_seconds', 'train_seconds')]
        lines.append(line)
    places = sorted({row.latency_place for row in rows if row.latency_place})
    note = (
        'Mean ± sample deviation over the runs: seeds, and for several trees of a seed the trees '
        'as well; (1 of 2) where only one of two runs has the number. Δm is the mean relative gain '
        'over the mean of the single-task networks. MAdds are multiply-adds of convolutions '
        "at the config's cost_shape; the paper's convention is half of all operations. tree s is "
        'the time of what chose the tree, without the trainings that it needed; train s that of '
        'the training.'
    )
    if places:
        note += f' ms is the median time of one image: {"; ".join(places)}.'
    return [Heading('Results'), Grid(header, lines), Paragraph(note)]


def _comparison(summaries: Sequence[Summary], rows: Sequence[Row]) -> list[Block]:
    """The searched tree against the others, seed by seed."""
    found = next((s for s in summaries if s.kind in ('searched', 'paths') and s.done), None)
    if found is None:
        return []
    searched, key = found.model, TOP1 if found.kind == 'paths' else 'delta_m'
    name = 'Mean top-1' if key == TOP1 else 'Δm'
    lines = []
    for summary in summaries:
        gains = paired_differences(rows, searched, summary.model, key)
        if summary.model == searched or not gains:
            continue
        each = ', '.join(f'{gain:+.2f}' for gain in gains)
        lines.append([summary.model, *_difference(gains), each])
    if not lines:
        return []
    note = (
        f'{name} of {searched} minus {name} of the other model with the same seed (of several '
        f'trees their mean), in percentage points; above 0, {searched} is better. The interval of '
        "the mean is Student's. Where it holds 0, no difference is shown."
    )
    header = [f'{searched} against', 'mean', '95 % interval', 'difference', 'seed by seed']
    return [Heading(f'{searched} against the others'), Grid(header, lines), Paragraph(note)]


def _difference(gains: Sequence[float]) -> list[str]:
    """Write the mean of paired differences, its interval, and what they show."""
    mean, half = mean_and_deviation(gains)[0], half_interval(gains)
    if half is None:
        return [f'{mean:+.2f}', '', 'one pair only']
    low, high = mean - half, mean + half
    shown = 'none shown' if low <= 0 <= high else 'better' if low > 0 else 'worse'
    return [f'{mean:+.2f}', f'{low:+.2f} to {high:+.2f}', shown]


def _pictures(folder: Path, summaries: Sequence[Summary]) -> list[Block]:
    """Draw what there is."""
    blocks: list[Block] = []
    points = [
        Point(summary.model, madds[0] / 1e9, delta[0], madds[1] and madds[1] / 1e9, delta[1])
        for summary in summaries
        if (madds := summary.of('madds')) and (delta := summary.of('delta_m'))
    ]
    if points:
        _drawn(folder / 'pareto.png', plot_pareto, points)
        caption = 'Δm against multiply-adds; bars are sample deviations over the runs.'
        blocks += [Heading('Cost and performance'), Picture(folder / 'pareto.png', caption)]
    searches = [
        Point(summary.model, seconds[0], delta[0], seconds[1], delta[1])
        for summary in summaries
        if summary.kind == 'searched'
        and (seconds := summary.of('tree_seconds'))
        and (delta := summary.of('delta_m'))
    ]
    if searches:
        picture = folder / 'search_time.png'
        _drawn(picture, plot_pareto, searches, cost='search (s)')
        caption = (
            'Δm of the searched trees against the seconds that their searches took, start and '
            'whatever ran beside them included; bars are sample deviations over the runs.'
        )
        blocks += [Heading('Quality against search time'), Picture(picture, caption)]
    trees = {}
    for summary in summaries:
        path = tree_file(folder, summary)
        if path is not None and not KINDS[summary.kind].of_paths:
            row = summary.done[0]
            trees[f'{summary.model}, seed {row.seed}'] = BranchedArchitecture.load(path)
    if trees:
        _drawn(folder / 'trees.png', plot_trees, trees)
        caption = 'The tree of each model for its first seed.'
        blocks += [Heading('Trees'), Picture(folder / 'trees.png', caption)]
    return blocks + _cells(folder, summaries) + _affinities(folder, summaries)


def _cells(folder: Path, summaries: Sequence[Summary]) -> list[Block]:
    """Draw the cell of each model that has one, as its first finished row has kept it."""
    blocks: list[Block] = []
    for summary in summaries:
        stored = folder / 'cells' / f'{summary.done[0].run}.json' if summary.done else None
        if stored is not None and stored.is_file():
            picture = folder / f'cell_{summary.model}.png'
            draw_cell(DenseCell.load(stored), picture)
            blocks.append(Picture(picture, f'The dense prediction cell of {summary.model}.'))
    return [Heading('Cells'), *blocks] if blocks else []


def _drawn(path: Path, plot: Callable[..., None], *content: Any, **options: Any) -> None:
    """Draw a picture for the report, and the same as PDF for a paper."""
    for place in (path, path.with_suffix('.pdf')):
        plot(*content, place, **options)


def _affinities(folder: Path, summaries: Sequence[Summary]) -> list[Block]:
    """BMN's affinities beside the searched tree of the same seed."""
    measured = {row.seed: row.run for s in summaries if s.kind == 'bmn' for row in s.done}
    for summary in summaries:
        for row in summary.done if summary.kind == 'searched' else ():
            tree = folder / 'trees' / f'{row.run}.json'
            matrix = folder / 'affinities' / f'{measured.get(row.seed)}.npy'
            if tree.is_file() and matrix.is_file():
                path = folder / 'affinities.png'
                affinities = np.load(matrix, allow_pickle=False)
                content = affinities, BranchedArchitecture.load(tree)
                _drawn(path, plot_affinities_and_tree, *content)
                caption = (
                    f'Tree of {row.run} and the affinities of the tasks (RSA of the single-task '
                    'networks); frames are the groups of the tree.'
                )
                return [Heading('Affinities and groups'), Picture(path, caption)]
    return []


def _trees(summaries: Sequence[Summary]) -> list[Block]:
    """Each run, its Delta_m and its tree in words."""
    lines = [
        [
            row.run,
            _number(row.numbers.get('delta_m')),
            _number(row.numbers['madds'] / 1e6),
            row.tree,
        ]
        for summary in summaries
        for row in summary.done
    ]
    if not lines:
        return []
    header = ['run', 'Δm %', 'MAdds M', 'encoder layers shared']
    return [Heading('Runs'), Grid(header, lines, (3,))]


def _failures(summaries: Sequence[Summary]) -> list[Block]:
    blocks: list[Block] = []
    for summary in summaries:
        for row in summary.failed:
            blocks += [Paragraph(f'{row.run} failed:'), Code(row.error)]
    return [Heading('Failed'), *blocks] if blocks else []


def read_paper(path: str | Path) -> dict[str, Any]:
    """Read a file with figures of the paper.

    Returns:
        ``title``; ``columns``: names of the numbers, beginning with the multiply-adds in 10^9;
        ``rows``: a list of numbers by model, ``[mean, deviation]`` or null where the paper gives
        that.

    Raises:
        ValueError: It is of another form.
    """
    content = read_document(path)
    if not isinstance(content, dict) or not {'title', 'columns', 'rows'} <= set(content):
        raise InputError(f'{path}: expected an object with title, columns and rows')
    if not isinstance(content['rows'], Mapping) or not isinstance(content['columns'], list):
        raise InputError(f'{path}: expected rows to be an object, and columns a list')
    for name, row in content['rows'].items():
        if not isinstance(row, list):
            raise InputError(f'{path}: {name} is {row!r:.50}, expected a list of numbers')
        if len(row) != len(content['columns']):
            raise InputError(
                f'{path}: {name} has {len(row)} numbers, expected {len(content["columns"])}'
            )
    return content


def _paper(paper: Mapping[str, Any]) -> list[Block]:
    lines = [[name, *map(_printed, row)] for name, row in paper['rows'].items()]
    note = 'Printed in the paper, not computed here; multiply-adds in its own convention, in 10⁹.'
    heading = f'Figures of the paper: {paper["title"]}'
    return [Heading(heading), Grid(['model (paper)', *paper['columns']], lines), Paragraph(note)]


def _printed(value: float | list[float] | None) -> str:
    if value is None:
        return ''
    return ' ± '.join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float | None) -> str:
    return '' if value is None else f'{value:.2f}'
