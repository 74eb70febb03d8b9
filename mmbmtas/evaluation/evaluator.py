"""Evaluator that adds Delta_m to the tasks' own metrics."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric, Evaluator

from mmbmtas.evaluation.headline import Baseline, delta_m, load_baseline
from mmbmtas.evaluation.metrics import HeadlineMetric, TaskMetric
from mmbmtas.registry import EVALUATORS, METRICS


@EVALUATORS.register_module()
class MultiTaskEvaluator(Evaluator):
    """mmengine's evaluator, with ``delta_m`` in percent (paper, Eq. 7) in addition to the metrics.

    A task counts in Delta_m by the headline of the first metric listed for it. With both
    ``EdgePixelMetric`` and ``OdsF``, their order decides. The metric itself declares its direction.
    Metrics that are not a :class:`TaskMetric` are reported, but do not count in Delta_m.

    Args:
        metrics: Metrics or their configs.
        baseline: Results of the single-task networks: a JSON file, several (one per task), or a
            mapping; see :func:`mmbmtas.evaluation.headline.load_baseline`. Without it there is no
            Delta_m.

    Raises:
        ValueError: The baseline has no number of a task. This is checked on construction, before
            any evaluation.

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
        """Headline numbers, one per task."""
        first: dict[str, HeadlineMetric] = {}
        for metric in self.metrics:
            if isinstance(metric, TaskMetric):
                first.setdefault(metric.task, metric.headline)
        return list(first.values())

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the scores of all metrics, and ``delta_m`` if there is a baseline."""
        results = super().evaluate(size)
        if self.baseline is not None:
            results['delta_m'] = delta_m(results, self.baseline, self.headlines)
        return results
