"""What a report says of budgets that searches have missed."""

from collections.abc import Sequence
from pathlib import Path

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.model_summary import Summary
from mmbmtas.structures import as_architecture
from mmbmtas.visualization.document import Block, Grid, Heading


def budgets_block(folder: Path, summaries: Sequence[Summary]) -> list[Block]:
    """List the runs whose trees or paths miss a budget, as their files say."""
    lines = []
    for summary in summaries:
        for row in summary.done if KINDS[summary.kind].has_tree else ():
            path = folder / 'trees' / f'{row.run}.json'
            source = as_architecture(str(path)).source if path.is_file() else None
            if isinstance(source, dict) and 'budget_missed' in source:
                lines.append([row.run, str(source['budget_missed'])])
    return [Heading('Missed budgets'), Grid(['run', 'warning'], lines, (1,))] if lines else []
