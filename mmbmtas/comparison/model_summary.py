"""A model of a comparison over its seeds: means, deviations, and its first tree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.results import Row, mean_and_deviation


@dataclass(frozen=True)
class Summary:
    """A model over its seeds (and its several trees, if it has some).

    Attributes:
        model: Its name.
        kind: Its kind.
        done: Its finished rows.
        failed: Its failed rows.
    """

    model: str
    kind: str
    done: Sequence[Row] = field(default_factory=list)
    failed: Sequence[Row] = field(default_factory=list)

    def of(self, key: str) -> tuple[float, float | None] | None:
        """Mean and deviation of a number over the finished rows that have it; None without any."""
        values = self.values(key)
        return mean_and_deviation(values) if values else None

    def cell(self, key: str, digits: int, scale: float = 1.0, sign: bool = False) -> str:
        """Write a number, and how many runs have it if not all finished runs do."""
        text, count = _pm(self.of(key), digits, scale, sign), len(self.values(key))
        return f'{text} ({count} of {len(self.done)})' if 0 < count < len(self.done) else text

    def values(self, key: str) -> list[float]:
        """List the values of a number in the finished rows that have it."""
        values = [row.metrics.get(key, row.numbers.get(key, math.nan)) for row in self.done]
        return [value for value in values if math.isfinite(value)]


def summarise(rows: Sequence[Row], models: Sequence[str]) -> list[Summary]:
    """Gather the rows of each model, in the order given; models without any row are left out."""
    found = []
    for model in models:
        own = [row for row in rows if row.model == model]
        if own:
            done = [row for row in own if row.is_done]
            failed = [row for row in own if not row.is_done]
            found.append(Summary(model, own[0].kind, done, failed))
    return found


def tree_file(folder: Path, summary: Summary) -> Path | None:
    """The stored tree of a model's first finished row."""
    if not summary.done or not KINDS[summary.kind].has_tree:
        return None
    for name in (summary.done[0].run, summary.model):
        path = folder / 'trees' / f'{name}.json'
        if path.is_file():
            return path
    return None


def _pm(
    value: tuple[float, float | None] | None, digits: int, scale: float = 1.0, sign: bool = False
) -> str:
    """Write a mean and its deviation, but for none or one of 0, as of equal costs."""
    if value is None:
        return ''
    mean, deviation = value
    text = f'{mean * scale:{"+" if sign else ""}.{digits}f}'
    return f'{text} ± {deviation * scale:.{digits}f}' if deviation else text
