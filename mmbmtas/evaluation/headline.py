"""Choose one number per task, and compare it with single-task networks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbmtas.errors import InputError
from mmbmtas.evaluation import functional
from mmbmtas.evaluation.metrics import HeadlineMetric, TaskMetric
from mmbmtas.registry import METRICS
from mmbmtas.structures.documents import read_document


def declared_metrics() -> dict[str, HeadlineMetric]:
    """Return every number that can represent a task, by its key in the results.

    These are the headlines of all registered metrics, including users' own, for the default tasks
    of the metrics' classes.
    """
    found = [
        metric.headline_of()
        for metric in METRICS.module_dict.values()
        if isinstance(metric, type)
        and issubclass(metric, TaskMetric)
        and hasattr(metric, 'default_task')
        and hasattr(metric, 'headline_name')
    ]
    return {headline.key: headline for headline in found}


Baseline = str | Path | Mapping[str, float] | Sequence[str | Path]


def load_baseline(source: Baseline) -> dict[str, float]:
    """Read the single-task networks' results.

    Args:
        source: A JSON file with one object ``{'semseg/mIoU': 65.1, ...}``, such as the file that
            ``tools/test.py`` leaves in its work directory; several such files (one per task); or
            the mapping itself.

    Raises:
        ValueError: A file does not hold a JSON object, or two files have different values for a
            key.
    """
    if isinstance(source, Mapping):
        return dict(source)
    merged: dict[str, float] = {}
    for path in [source] if isinstance(source, str | Path) else source:
        results = read_document(path)
        if not isinstance(results, dict):
            raise InputError(f'{path} should hold a JSON object of results, not {results!r:.50}')
        for key, value in results.items():
            if not isinstance(value, int | float):
                raise InputError(f'{path}: {key} is {value!r:.50}, expected a number')
            if merged.setdefault(key, value) != value:
                raise InputError(f'{path}: {key} is {value}, but {merged[key]} in another file')
    return merged


def delta_m(
    results: Mapping[str, float],
    baseline: Baseline,
    headlines: Sequence[HeadlineMetric] | None = None,
) -> float:
    """Return Delta_m in percent (paper, Eq. 7) of a model against single-task networks.

    Args:
        results: The model's results by metric key; only those of headlines are used.
        baseline: See :func:`load_baseline`.
        headlines: One number per task. The default is, for each task, the first of
            :func:`declared_metrics` that both sides have.

    Raises:
        ValueError: There is no headline, or the baseline has none or 0 for one of them.
    """
    single = load_baseline(baseline)
    if headlines is None:
        headlines = _common_headlines(results, single)
    return functional.delta_m(
        {headline.key: results[headline.key] for headline in headlines},
        single,
        {headline.key: headline.lower_is_better for headline in headlines},
    )


def _common_headlines(
    results: Mapping[str, float], single: Mapping[str, float]
) -> list[HeadlineMetric]:
    """Choose one number for each task of the results, if possible one that the baseline has."""
    chosen: dict[str, HeadlineMetric] = {}
    for key, headline in declared_metrics().items():
        task = key.split('/')[0]
        if key in results and (task not in chosen or chosen[task].key not in single):
            chosen[task] = headline
    return list(chosen.values())
