"""The part of a report on paths of domains."""

from collections.abc import Sequence
from pathlib import Path

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.model_summary import Summary, tree_file
from mmbmtas.comparison.results import TOP1
from mmbmtas.structures import PathArchitecture
from mmbmtas.visualization.document import Block, Grid, Heading, Paragraph


def domains_block(summaries: Sequence[Summary]) -> list[Block]:
    """The tables of paths of domains: four costs, mean accuracy, decathlon score."""
    shown = [s for s in summaries if KINDS[s.kind].of_paths and s.done]
    if not shown:
        return []
    single = next((s.of('params') for s in shown if s.kind == 'single_path'), None)
    lines = []
    for summary in shown:
        own = summary.of('params')
        share = f'{own[0] / single[0]:.2f}' if own and single else ''
        costs = [summary.cell(k, 2, 1e-6) for k in ('madds', 'madds_union', 'madds_prefix')]
        scores = [summary.cell(TOP1, 2), summary.cell('decathlon_score', 0)]
        lines.append([summary.model, share, *costs, *scores])
    note = (
        'MAdds of all domains: sum, each on an image of its own; union, each node once, which '
        'bounds them from below; prefix, all on the same image, where equal beginnings run once. '
        'Parameters beside those of the single path. Top-1 is the mean of the domains; the '
        'decathlon score measures each domain by twice the error of the independent networks.'
    )
    header = ['model', 'params, x', 'MAdds M: sum', 'union', 'prefix', 'top-1 % ↑', 'decathlon ↑']
    return [Heading('Domains'), Grid(header, lines), Paragraph(note)]


def similarity_block(folder: Path, summaries: Sequence[Summary]) -> list[Block]:
    """How alike the searched paths are."""
    for summary in summaries:
        path = tree_file(folder, summary) if summary.kind == 'paths' else None
        if path is not None:
            paths = PathArchitecture.load(path)
            rows = zip(paths.domains, paths.jaccard(), strict=True)
            lines = [[domain, *(f'{value:.2f}' for value in row)] for domain, row in rows]
            note = (
                f'Nodes in both paths over nodes in either, of {summary.model}, seed '
                f'{summary.done[0].seed}; a layer left out counts as a node.'
            )
            header = ['', *paths.domains]
            return [Heading('How alike paths are'), Grid(header, lines), Paragraph(note)]
    return []
