"""Match predicted boundary pixels with true ones within a tolerance, one to one."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, maximum_flow

OUTLIER_COST = 100
"""Cost, in tolerances, of leaving a pixel unmatched; BSDS500's ``correspondPixels``."""


def pairs_within(candidates: NDArray, truth: NDArray, tolerance: float) -> csr_matrix:
    """List the pairs of a candidate and a true pixel that may be matched.

    Args:
        candidates: ``(H, W)``, non-zero where a prediction may mark a pixel.
        truth: ``(H, W)``, non-zero at true boundary pixels.
        tolerance: Greatest distance in pixels, inclusive.

    Returns:
        ``(candidates, true pixels)``, both in row-major order. Each pair has an entry, its squared
        distance plus 1 (so that no entry is 0).
    """
    reach = int(tolerance)
    height, width = np.shape(truth)
    index = np.full((height + 2 * reach, width + 2 * reach), -1, dtype=np.int32)
    size = np.count_nonzero(truth)
    inner = index[reach : reach + height, reach : reach + width]
    inner[np.asarray(truth, dtype=bool)] = np.arange(size)

    down, right = (grid.reshape(-1) for grid in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    near = down**2 + right**2 <= tolerance**2
    down, right = down[near], right[near]
    rows, columns = np.nonzero(candidates)
    places = (rows + reach) * index.shape[1] + columns + reach
    neighbours = index.reshape(-1)[places[:, None] + down * index.shape[1] + right]
    row, step = np.nonzero(neighbours >= 0)
    values = (down**2 + right**2 + 1)[step]
    return csr_matrix((values, (row, neighbours[row, step])), shape=(len(rows), size))


class GrowingMatching:
    """A maximum bipartite matching that follows the prediction from one threshold to the next.

    The maps of neighbouring thresholds share most pixels, so each map starts from the matching of
    the map before it. One search for an augmenting path runs from every new pixel, and then from
    every true pixel that lost its partner. This keeps the matching maximum: after a vertex is added
    or loses its partner, any augmenting path starts there. The size is therefore that of a new
    matching (:func:`matching_size`). This is faster if the map changes little between thresholds,
    as suppressed maps do.

    Args:
        pairs: ``(candidates, true pixels)``, see :func:`pairs_within`.
    """

    def __init__(self, pairs: csr_matrix) -> None:
        self._partners = _lists(pairs)
        self._suitors = _lists(pairs.T.tocsr())
        self._partner = [-1] * pairs.shape[0]
        self._suitor = [-1] * pairs.shape[1]
        self._present = np.zeros(pairs.shape[0], dtype=bool)
        self._reachable = np.diff(pairs.indptr) > 0
        self.size = 0

    def update(self, present: NDArray[np.bool_]) -> int:
        """Move on to another set of candidates.

        Args:
            present: ``(candidates,)``, true for those that the prediction marks.

        Returns:
            Number of pairs in a maximum matching.
        """
        present = present & self._reachable
        came = np.flatnonzero(present & ~self._present).tolist()
        gone = np.flatnonzero(self._present & ~present).tolist()
        exhausted: set[int] = set()
        for candidate in came:
            self.size += self._find_partner(candidate, exhausted)
        self._present = present
        is_present = present.tolist()
        barren: set[int] = set()
        for candidate in gone:
            widow, self._partner[candidate] = self._partner[candidate], -1
            if widow >= 0:
                self._suitor[widow] = -1
                self.size -= not self._find_suitor(widow, is_present, barren)
        return self.size

    def _find_partner(self, candidate: int, exhausted: set[int]) -> bool:
        """Match a candidate, moving others if necessary; ``exhausted`` true pixels lead nowhere."""
        for pixel in self._partners[candidate]:
            if self._suitor[pixel] < 0:
                self._suitor[pixel], self._partner[candidate] = candidate, pixel
                return True
        reached: dict[int, int] = {}
        queue = [candidate]
        for asking in queue:
            for pixel in self._partners[asking]:
                if pixel in reached or pixel in exhausted:
                    continue
                reached[pixel] = asking
                if self._suitor[pixel] < 0:
                    self._hand_over(pixel, reached, candidate)
                    return True
                queue.append(self._suitor[pixel])
        exhausted.update(reached)
        return False

    def _hand_over(self, pixel: int, reached: dict[int, int], first: int) -> None:
        while True:
            asking = reached[pixel]
            self._suitor[pixel] = asking
            pixel, self._partner[asking] = self._partner[asking], pixel
            if asking == first:
                return

    def _find_suitor(self, widow: int, is_present: list[bool], barren: set[int]) -> bool:
        """Match a true pixel, moving others if necessary; ``barren`` candidates lead nowhere."""
        for candidate in self._suitors[widow]:
            if self._partner[candidate] < 0 and is_present[candidate]:
                self._suitor[widow], self._partner[candidate] = candidate, widow
                return True
        reached: dict[int, int] = {}
        queue = [widow]
        for pixel in queue:
            for candidate in self._suitors[pixel]:
                if candidate in reached or candidate in barren or not is_present[candidate]:
                    continue
                reached[candidate] = pixel
                if self._partner[candidate] < 0:
                    self._take_over(candidate, reached, widow)
                    return True
                queue.append(self._partner[candidate])
        barren.update(reached)
        return False

    def _take_over(self, candidate: int, reached: dict[int, int], first: int) -> None:
        while True:
            pixel = reached[candidate]
            self._partner[candidate] = pixel
            candidate, self._suitor[pixel] = self._suitor[pixel], candidate
            if pixel == first:
                return


def matching_size(pairs: csr_matrix) -> int:
    """Count the pairs in a maximum bipartite matching.

    This uses maximum flow. ``scipy.sparse.csgraph.maximum_bipartite_matching`` gives the same
    number, but scipy 1.17 needed more than a minute for one map with more pixels than partners.

    Args:
        pairs: ``(candidates, true pixels)``, see :func:`pairs_within`.
    """
    pairs = pairs[np.diff(pairs.indptr) > 0]
    rows, columns = pairs.shape
    source, sink = 0, rows + columns + 1
    ends = [
        np.arange(1, rows + 1),
        pairs.indices + rows + 1,
        np.full(columns, sink),
    ]
    starts = [
        np.full(rows, source),
        np.repeat(np.arange(1, rows + 1), np.diff(pairs.indptr)),
        np.arange(rows + 1, sink),
    ]
    start, end = np.concatenate(starts), np.concatenate(ends)
    network = csr_matrix((np.ones(len(start), np.int32), (start, end)), shape=(sink + 1,) * 2)
    return int(maximum_flow(network, source, sink).flow_value)


def _lists(matrix: csr_matrix) -> list[list[int]]:
    """List the columns of each row."""
    ends, columns = matrix.indptr.tolist(), matrix.indices.tolist()
    return [columns[start:end] for start, end in pairwise(ends)]


def assign(pairs: csr_matrix, tolerance: float) -> NDArray[np.bool_]:
    """Match by least total distance, as BSDS500's ``correspondPixels`` does.

    Every connected component of the pairs is a rectangular assignment problem. A pair beyond the
    tolerance costs 100 tolerances and is discarded afterwards.

    Args:
        pairs: ``(candidates, true pixels)``, see :func:`pairs_within`.
        tolerance: Pixels.

    Returns:
        ``(candidates,)``, true for those that are matched.
    """
    matched = np.zeros(pairs.shape[0], dtype=bool)
    for rows, columns in _components(pairs):
        block = pairs[rows][:, columns].toarray()
        possible = block > 0
        cost = np.where(possible, np.sqrt(np.maximum(block - 1, 0)), OUTLIER_COST * tolerance)
        chosen = linear_sum_assignment(cost)
        matched[rows[chosen[0][possible[chosen]]]] = True
    return matched


def _components(pairs: csr_matrix) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """List the rows and columns of each connected component that has a pair."""
    rows, columns = pairs.shape
    entries = pairs.tocoo()
    graph = csr_matrix(
        (np.ones(pairs.nnz, dtype=bool), (entries.row, entries.col + rows)),
        shape=(rows + columns,) * 2,
    )
    count, component = connected_components(graph, directed=False)
    order = np.argsort(component, kind='stable')
    bounds = np.searchsorted(component[order], np.arange(1, count))
    for nodes in np.split(order, bounds):
        if nodes.size and nodes[0] < rows <= nodes[-1]:
            yield nodes[nodes < rows], nodes[nodes >= rows] - rows
