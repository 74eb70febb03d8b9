"""Similarity of features against closed forms, and the scatter against Euclidean points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.grouping import FeatureMoments, scatter_costs
from mmbmtas.structures import all_groupings


def similarity(*features):
    """Similarity of tasks whose features ``(n, C)`` are given."""
    moments = FeatureMoments(len(features), features[0].shape[1])
    for part in np.array_split(np.arange(len(features[0])), 3):  # as batches come
        moments.add([task[part] for task in features])
    return moments.similarity()


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(6, 20_000))


class TestSimilarity:
    def test_a_mixture_of_channels_is_as_good(self, noise):
        first = noise[:3].T
        mixed = first @ np.array([[2.0, 1, 0], [0, 1, 3], [1, 0, -1]]) + 5
        assert similarity(first, mixed) == pytest.approx(np.ones((2, 2)), abs=1e-4)

    def test_of_two_channels_it_is_the_squared_correlation(self, noise):
        first, second = noise[0], 0.6 * noise[0] + 0.8 * noise[1]
        squared = np.corrcoef(first, second)[0, 1] ** 2
        expected = 1 - (1 - squared) * 19_999 / 19_998  # adjusted R2 of one predictor
        found = similarity(first[:, None], second[:, None])
        assert found[0, 1] == found[1, 0] == pytest.approx(expected, abs=1e-5)
        assert expected == pytest.approx(0.36, abs=0.02)

    def test_what_has_nothing_in_common(self, noise):
        assert similarity(noise[:3].T, noise[3:].T)[0, 1] == pytest.approx(0, abs=1e-3)

    def test_few_pixels_explain_nothing_by_chance(self):
        # Of 40 pixels 20 columns of noise explain 20 / 39 of anything, on average.
        rng = np.random.default_rng(0)
        draws = [similarity(*rng.normal(size=(2, 40, 20)))[0, 1] for _ in range(20)]
        assert np.mean(draws) < 0.1
        with pytest.raises(ValueError, match=r'21 pixels .* 20 channels .* at least 22'):
            similarity(*rng.normal(size=(2, 21, 20)))

    def test_each_way_counts_half(self, noise):
        """(a, b) explains (a, a) wholly; a explains of (a, b) half the variance."""
        pair = similarity(noise[[0, 1]].T, noise[[0, 0]].T)
        assert pair[0, 1] == pytest.approx((1 + 0.5) / 2, abs=0.01)

    def test_channels_count_by_their_variance(self, noise):
        """Of variances 9 and 1 the first is shared: 0.9 each way."""
        first = np.stack([3 * noise[0], noise[1]], axis=1)
        second = np.stack([3 * noise[0], noise[2]], axis=1)
        assert similarity(first, second)[0, 1] == pytest.approx(0.9, abs=0.01)

    def test_features_that_are_constant_are_explained(self, noise):
        still = np.full((20_000, 2), 7.0)
        assert similarity(still, still)[0, 1] == 1
        assert similarity(still, noise[:2].T)[0, 1] == 0.5

    def test_numbers_that_are_not_finite(self):
        with pytest.raises(ValueError, match='finite'):
            similarity(np.full((9, 2), np.nan), np.ones((9, 2)))
        with pytest.raises(ValueError, match='0 pixels'):
            FeatureMoments(2, 3).similarity()


class TestScatter:
    @given(st.integers(1, 5), st.integers(0, 1000))
    def test_it_is_the_squared_distance_from_the_means(self, num_tasks, seed):
        points = np.random.default_rng(seed).uniform(0, 0.4, size=(num_tasks, 3))
        squared = ((points[:, None] - points) ** 2).sum(axis=-1)
        found = scatter_costs([1 - squared])[0]
        for cost, grouping in zip(found, all_groupings(num_tasks), strict=True):
            groups = [points[[*group]] for group in grouping.groups]
            expected = sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups)
            assert cost == pytest.approx(expected, abs=1e-9)

    def test_other_forms(self):
        with pytest.raises(ValueError, match=r'shape \(2, 2\)'):
            scatter_costs(np.eye(2))
        with pytest.raises(ValueError, match='symmetric'):
            scatter_costs([[[1, 0.2], [0.3, 1]]])
