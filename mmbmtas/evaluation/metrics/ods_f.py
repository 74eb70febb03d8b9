"""Boundary F-measure as an mmengine metric."""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain
from typing import Any

import numpy as np
from mmengine.dist import is_distributed
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.edges import (
    THRESHOLDS,
    EdgeProtocol,
    count_matches,
    edge_scores,
    evaluation_truth,
    protocol_of,
)
from mmbmtas.evaluation.functional import quantise
from mmbmtas.evaluation.metrics.base import TaskMetric, to_numpy
from mmbmtas.progress import Progress
from mmbmtas.registry import METRICS

_WAITING_PER_JOB = 8


@METRICS.register_module()
class OdsF(TaskMetric):
    """Boundary F-measure at the split's best threshold: ``edge/odsF``, with ``OIS`` and ``AP``.

    It is computed without MATLAB; see :mod:`mmbmtas.evaluation.edges`. An image takes about a
    second on one core. For ``pascal`` the truth is derived from the sample's ``gt_label_map``
    (PASCAL-Context's ``LabelMap``, ``(1, H, W)`` integers at the original size), because it differs
    from the training label ``gt_edge``. For ``nyud`` it is derived from ``gt_edge`` itself, where
    255 counts as no edge. Samples without ``gt_edge`` are left out.

    Args:
        dataset: ``pascal`` or ``nyud``. It decides the source of the truth and the tolerance.
        nms: Whether predictions go through non-maximum suppression.
        max_dist: Tolerance as a share of the image's diagonal. The default is the data set's.
        thresholds: Increasing, in 0..1.
        jobs: Processes that score images while the network runs; 1 means none. The default is one
            per core. In distributed evaluation the default is none, because each rank scores its
            own images.
        task: See :class:`TaskMetric`.
        **kwargs: ``collect_device``, ``collect_dir``.

    Example config::

        dict(type='OdsF', dataset='pascal')
    """

    default_task = 'edge'
    headline_name = 'odsF'

    def __init__(
        self,
        dataset: str = 'pascal',
        nms: bool = True,
        max_dist: float | None = None,
        thresholds: Sequence[float] = THRESHOLDS,
        jobs: int | None = None,
        task: str | None = None,
        **kwargs: Any,
    ) -> None:
        if dataset not in ('pascal', 'nyud'):
            raise InputError(f"dataset should be 'pascal' or 'nyud', not {dataset!r}")
        super().__init__(task, **kwargs)
        self.dataset = dataset
        self.protocol = protocol_of(dataset, nms, max_dist, thresholds)
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def score_image(
        self, prediction: NDArray, label: NDArray, sample: dict
    ) -> NDArray[np.int64] | Future:
        """Return the counts of one image at every threshold, perhaps still being computed."""
        work = (quantise(prediction[0]), self._label_map(label, sample), self.protocol)
        jobs = self.jobs or (1 if is_distributed() else os.cpu_count() or 1)
        if jobs == 1:
            return score_label_map(*work)
        if self._pool is None:
            # Not forked: the parent may hold CUDA and threads.
            context = multiprocessing.get_context('spawn')
            self._pool = ProcessPoolExecutor(jobs, mp_context=context)
        scored = chain.from_iterable(self.results)
        waiting = [r for r in scored if isinstance(r, Future) and not r.done()]
        if len(waiting) >= _WAITING_PER_JOB * jobs:
            waiting[0].result()
        return self._pool.submit(score_label_map, *work)

    def _label_map(self, label: NDArray, sample: dict) -> NDArray:
        if self.dataset == 'nyud':
            return label[0] == 1
        if 'gt_label_map' not in sample:
            raise InputError(
                "dataset='pascal' needs the LabelMap as gt_label_map in the sample; with "
                "dataset='nyud' the truth is gt_edge"
            )
        label_map = to_numpy(sample['gt_label_map']['data'])
        if label_map.shape != label.shape:
            raise InputError(f'gt_label_map is {label_map.shape}, the label {label.shape}')
        return label_map[0]

    def evaluate(self, size: int) -> dict[str, float]:
        """Wait for images still being scored, show how many there are, and pool."""
        if self._pool is not None:
            self.results[:] = _finish(self.results)
            self._pool.shutdown()
            self._pool = None
        return super().evaluate(size)

    def pool_images(self, results: list[NDArray[np.int64]]) -> dict[str, float]:
        """Return ``odsF``, ``OIS`` and ``AP`` in percent, and ``ods_threshold``."""
        return edge_scores(results, self.protocol.thresholds, self.protocol.rule)


def score_label_map(
    prediction: NDArray[np.uint8], label_map: NDArray, protocol: EdgeProtocol
) -> NDArray[np.int64]:
    """Do :func:`count_matches` against the boundaries of a label map ``(H, W)``."""
    return count_matches(prediction, [evaluation_truth(label_map)], protocol)


def _finish(results: list[list]) -> list[list]:
    """Return the results after waiting for those still being computed."""
    finished = []
    with Progress(len(results), 'scoring edges') as progress:
        for entry in results:
            finished.append([r.result() if isinstance(r, Future) else r for r in entry])
            progress.advance()
    return finished
