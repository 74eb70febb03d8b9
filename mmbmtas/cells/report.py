"""The results of a search of cells as tables and pictures: ``report.md`` and ``report.html``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbmtas.cells.study import Record, best
from mmbmtas.evaluation.ranks import describe_correlation
from mmbmtas.structures import DenseCell
from mmbmtas.visualization.cells import (
    draw_cell,
    plot_costs,
    plot_fidelity,
    plot_histogram,
    plot_norms,
    plot_progress,
)
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

_PUBLISHED = (
    'The published search (DPC, NeurIPS 2018) tried 28,000 cells on 370 GPUs within a week. '
    'Cityscapes validation mIoU, ASPP and then the found cell: MobileNetV2 73.97 and 75.38, '
    "Xception 80.25 and 80.85. Spearman's rho between its trials and full trainings: 0.36 for the "
    'small backbone and 0.47 for cached features. These are its numbers, on other data than those '
    'above.'
)


def write_report(
    folder: Path, command: str, records: Sequence[Record], full: Mapping[int, float]
) -> None:
    """Write the report and its pictures.

    Args:
        folder: Where to.
        command: The command line that made the search.
        records: The trials.
        full: Score of each trial that was trained in full, against the first reference.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scored = [r for r in records if r.is_scored and r.name is None]
    references = [r for r in records if r.is_scored and r.name is not None]
    blocks: list[Block] = [
        Heading('Search of a dense prediction cell', 1),
        Paragraph('Written by this command, which continues after an interruption:'),
        Code(command),
        Paragraph(_summary(records)),
        *_references(references, scored, full),
    ]
    if scored:
        blocks += [
            *_scores(folder, references, scored),
            *_costs(folder, references, scored),
            *_fidelity(folder, records, full),
            *_progress(folder, references, scored),
            *_cells(folder, scored),
            *_norms(folder, references, scored),
        ]
    blocks += [Heading('Published figures'), Paragraph(_PUBLISHED)]
    for name, text in (('report.md', to_markdown(blocks)), ('report.html', to_html(blocks))):
        with written_beside(folder / name) as beside:
            beside.write_text(text, encoding='utf-8')


def _summary(records: Sequence[Record]) -> str:
    counts = dict.fromkeys(('done', 'pruned', 'over budget', 'failed'), 0)
    for record in records:
        counts[record.status] += 1
    told = ', '.join(f'{count} {status}' for status, count in counts.items() if count)
    seconds = sum(record.seconds or 0 for record in records)
    return f'{len(records)} trials: {told or "none"}. They took {seconds:,.0f} s in all.'


def _pairs(references: Sequence[Record]) -> list[tuple[str, float]]:
    return [(record.name or '', record.score or 0.0) for record in references]


def _references(
    references: Sequence[Record], scored: Sequence[Record], full: Mapping[int, float]
) -> list[Block]:
    """The references, then the best three cells or all that were trained in full."""
    count = max(3, sum(record.trial in full for record in scored))
    shown = [*references, *best([*scored], count)]
    rows = [
        [
            record.name or f'cell of trial {record.trial}',
            _number(record.score),
            _number(full.get(record.trial)),
            f'{(record.madds or 0) / 1e6:,.1f}',
            f'{(record.params or 0) / 1e3:,.1f}',
        ]
        for record in shown
    ]
    header = ['context module', 'trial', 'full training', 'MAdds (10⁶)', 'parameters (10³)']
    text = (
        'Scores of the trials are on training images that no trial trained on; those of the full '
        'trainings on validation images. Several tasks: Delta_m in percent against ASPP. '
        'Multiply-adds are of the context module on a training window.'
    )
    return [Heading('References and best cells'), Grid(header, rows), Paragraph(text)]


def _scores(folder: Path, references: Sequence[Record], scored: Sequence[Record]) -> list[Block]:
    path = folder / 'scores.png'
    plot_histogram([r.score or 0.0 for r in scored], _pairs(references), path)
    return [Heading('Scores'), Picture(path, f'Scores of {len(scored)} cells')]


def _costs(folder: Path, references: Sequence[Record], scored: Sequence[Record]) -> list[Block]:
    path = folder / 'costs.png'
    plot_costs(
        [(r.madds or 0) / 1e6 for r in scored],
        [r.score or 0.0 for r in scored],
        [(r.name or '', (r.madds or 0) / 1e6, r.score or 0.0) for r in references],
        path,
    )
    return [Heading('Score against multiply-adds'), Picture(path, 'Scores and costs')]


def _fidelity(folder: Path, records: Sequence[Record], full: Mapping[int, float]) -> list[Block]:
    """How far trials foretell full trainings."""
    heading = Heading('Trials against full trainings')
    chosen = [r for r in records if r.trial in full and r.score is not None]
    if not chosen:
        return [heading, Paragraph('No cell was trained in full: --rerank K does so.')]
    short, long = [r.score or 0.0 for r in chosen], [full[r.trial] for r in chosen]
    path = folder / 'fidelity.png'
    plot_fidelity([r.name or str(r.trial) for r in chosen], short, long, path)
    return [
        heading,
        Picture(path, 'Scores of trials and of full trainings'),
        Paragraph(describe_correlation(short, long)),
    ]


def _progress(folder: Path, references: Sequence[Record], scored: Sequence[Record]) -> list[Block]:
    path = folder / 'progress.png'
    scores = [r.score or 0.0 for r in scored]
    plot_progress([r.trial for r in scored], scores, _pairs(references), path)
    blocks: list[Block] = [Heading('Best so far'), Picture(path, 'Scores by trial')]
    near = [r.score or 0.0 for r in scored if r.parent is not None]
    uniform = [r.score or 0.0 for r in scored if r.parent is None]
    if near and uniform:
        blocks.append(
            Paragraph(
                f'Neighbours of the best: {len(near)} cells, mean {sum(near) / len(near):.3f}, '
                f'best {max(near):.3f}. Uniform cells: {len(uniform)}, mean '
                f'{sum(uniform) / len(uniform):.3f}, best {max(uniform):.3f}.'
            )
        )
    return blocks


def _cells(folder: Path, scored: Sequence[Record]) -> list[Block]:
    blocks: list[Block] = [Heading('Best, median and worst cell')]
    for name, record in _three(scored):
        path = folder / f'{name}.png'
        cell = DenseCell.from_branches(record.cell or [])
        draw_cell(cell, path)
        caption = f'The {name} cell: trial {record.trial}, score {_number(record.score)}'
        blocks += [Picture(path, caption), Code(cell.draw())]
    return blocks


def _norms(folder: Path, references: Sequence[Record], scored: Sequence[Record]) -> list[Block]:
    path = folder / 'norms.png'
    cells = [(name, record.projection) for name, record in _three(scored) if record.projection]
    cells += [(r.name or '', r.projection) for r in references if r.projection]
    plot_norms(cells, path)
    text = (
        "The larger a branch's share of the projection's weights, the more it matters. In the "
        'published cell branch 0 has the largest share and large rates the least.'
    )
    return [Heading('Weight of the branches'), Picture(path, 'L1 norms by branch'), Paragraph(text)]


def _three(scored: Sequence[Record]) -> list[tuple[str, Record]]:
    ranked = sorted(scored, key=lambda record: (-(record.score or 0.0), record.trial))
    return [('best', ranked[0]), ('median', ranked[len(ranked) // 2]), ('worst', ranked[-1])]


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3f}'
