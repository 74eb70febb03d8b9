"""The score of the Visual Decathlon, and an evaluator of several domains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmbmtas.errors import InputError
from mmbmtas.evaluation.evaluator import MultiTaskEvaluator
from mmbmtas.evaluation.headline import Baseline
from mmbmtas.registry import EVALUATORS

DECATHLON: dict[str, float] = {
    'imagenet12': 59.87,
    'aircraft': 60.34,
    'cifar100': 82.12,
    'daimlerpedcls': 92.82,
    'dtd': 55.53,
    'gtsrb': 97.53,
    'vgg_flowers': 81.41,
    'omniglot': 87.69,
    'svhn': 96.55,
    'ucf101': 51.20,
}
"""Top-1 accuracies in percent of the ResNets that were fine-tuned for one domain each.

The values are verified, their order by the columns of the public table.
"""

_TOP1 = 'top1'


def decathlon_score(
    accuracies: Mapping[str, float], reference: Mapping[str, float] = DECATHLON
) -> float:
    """Return the decathlon score: up to 1000 points for each domain; more is better.

    A domain adds ``1000 (max(0, E_max - E) / E_max)^2``; ``E`` is the error, and ``E_max`` twice
    that of the reference (both verified), so that reaching the reference is worth 250.

    Args:
        accuracies: Top-1 in percent by domain.
        reference: Of the networks to measure by.

    Raises:
        InputError: A domain of the reference is missing or another one is there, an accuracy is not
            between 0 and 100, or the reference makes no errors.

    Example:
        >>> round(decathlon_score(DECATHLON), 9)
        2500.0
    """
    if missing := [domain for domain in reference if domain not in accuracies]:
        raise InputError(f'the decathlon score needs the accuracies of {", ".join(missing)}')
    if others := [domain for domain in accuracies if domain not in reference]:
        raise InputError(
            f'the decathlon score has no reference accuracy to compare {", ".join(others)} with; '
            f'it has those of {", ".join(reference)}'
        )
    for where, values in (('', accuracies), (' of the reference', reference)):
        for domain, value in values.items():
            if not 0 <= value <= 100:
                raise InputError(f'accuracy{where} in {domain}: {value}, expected 0 to 100 percent')
    points = []
    for domain, value in reference.items():
        greatest = 2 * (100 - value)
        if not greatest:
            raise InputError(f'the reference makes no errors in {domain}: it has no score')
        points.append(1000 * (max(0.0, greatest - (100 - accuracies[domain])) / greatest) ** 2)
    return sum(points)


@EVALUATORS.register_module()
class DecathlonEvaluator(MultiTaskEvaluator):
    """:class:`MultiTaskEvaluator` with the mean accuracy ``top1`` over domains.

    Args:
        metrics: Metrics or their configs; each :class:`Accuracy` is a domain's.
        baseline: See :class:`MultiTaskEvaluator`.
        reference: Accuracies in percent by domain, of which ``decathlon_score`` is measured:
            ``'decathlon'`` for :data:`DECATHLON`, or a mapping. By default, and where not all of
            its domains are tested, there is no score.

    Raises:
        InputError: A metric is of a domain that ``reference`` lacks.

    Example config::

        val_evaluator = dict(
            type='DecathlonEvaluator',
            metrics=[dict(type='Accuracy', task='digits'), dict(type='Accuracy', task='faces')],
        )
    """

    def __init__(
        self,
        metrics: dict | BaseMetric | Sequence[dict | BaseMetric],
        baseline: Baseline | None = None,
        reference: str | Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(metrics, baseline)
        if isinstance(reference, str) and reference != 'decathlon':
            raise InputError(
                f"reference {reference!r} of DecathlonEvaluator: expected 'decathlon', or the "
                'accuracy of each domain'
            )
        self.reference = DECATHLON if isinstance(reference, str) else reference
        if self.reference is not None:
            tested = dict.fromkeys(self._keys, 100.0)
            decathlon_score({**dict.fromkeys(self.reference, 100.0), **tested}, self.reference)
            if lacking := [domain for domain in self.reference if domain not in tested]:
                self.reference = None
                print_log(
                    f'There is no decathlon score without {", ".join(lacking)}', logger='current'
                )

    @property
    def _keys(self) -> dict[str, str]:
        """The name of each domain's accuracy in the results."""
        keys = {h.key.removesuffix(f'/{_TOP1}'): h.key for h in self.headlines}
        return {domain: key for domain, key in keys.items() if domain != key}

    def evaluate(self, size: int) -> dict[str, Any]:
        """Return the scores of all metrics, their mean accuracy, and the decathlon score."""
        results = super().evaluate(size)
        accuracies = {domain: results[key] for domain, key in self._keys.items()}
        if accuracies:
            results[_TOP1] = float(np.mean([*accuracies.values()]))
        if self.reference is not None:
            results['decathlon_score'] = decathlon_score(accuracies, self.reference)
        return results
