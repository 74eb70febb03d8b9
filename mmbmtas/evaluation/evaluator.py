"""Evaluator that adds Delta_m to the tasks' own metrics."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric, Evaluator

from mmbmtas.evaluation.headline import Baseline, delta_m, load_baseline
from mmbmtas.evaluation.metrics import HeadlineMetric, TaskMetric
from mmbmtas.registry import EVALUATORS, METRICS


@EVALUATORS.register_module()
class MultiTaskEvaluator(Evaluator):
    """mmengine's evaluator, with ``delta_m`` in percent (paper, Eq. 7) beside the metrics.

    A task's number in Delta_m is the headline of the first metric listed for it. With both
    ``EdgePixelMetric`` and ``OdsF``, the order decides which of them the edges count by. The
    direction comes from the metric itself. Metrics that are not a :class:`TaskMetric` are
    reported, and take no part in Delta_m.

    Args:
        metrics: Metrics or their configs.
        baseline: Results of the single-task networks: a JSON file, several (one a task), or a
            mapping; see :func:`mmbmtas.evaluation.headline.load_baseline`. Without it no
            Delta_m is given.

    Raises:
        ValueError: On construction, when the baseline lacks a task's number: sooner than after
            an evaluation.

    Example config::

        val_evaluator = dict(
            type='MultiTaskEvaluator',
            metrics=[
                dict(type='SemSegMetric', num_classes=21),
                dict(type='HumanPartsMetric'),
                dict(type='SaliencyMetric'),
                dict(type='NormalsMetric'),
                dict(type='EdgePixelMetric'),
            ],
            baseline='single.json',
        )
    """

    def __init__(
        self,
        metrics: dict | BaseMetric | Sequence[dict | BaseMetric],
        baseline: Baseline | None = None,
    ) -> None:
        listed = metrics if isinstance(metrics, Sequence) else [metrics]
        super().__init__([METRICS.build(m) if isinstance(m, dict) else m for m in listed])
        self.baseline = None if baseline is None else load_baseline(baseline)
        if self.baseline is not None:
            perfect = {headline.key: 1.0 for headline in self.headlines}
            delta_m(perfect, self.baseline, self.headlines)

    @property
    def headlines(self) -> list[HeadlineMetric]:
        """One number a task."""
        first: dict[str, HeadlineMetric] = {}
        for metric in self.metrics:
            if isinstance(metric, TaskMetric):
                first.setdefault(metric.task, metric.headline)
        return list(first.values())

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all metrics, and ``delta_m`` where a baseline is given."""
        results = super().evaluate(size)
        if self.baseline is not None:
            results['delta_m'] = delta_m(results, self.baseline, self.headlines)
        return results
