"""Boundaries against their definition, thinning against scikit-image."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter
from skimage import morphology

from mmbmtas.structures.boundaries import label_boundaries, thin


@given(
    hnp.arrays(
        np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 2)
    )
)
def test_boundaries_equal_the_definition(labels):
    height, width = labels.shape
    for y, x in itertools.product(range(height), range(width)):
        looks_at = [
            (y + dy, x + dx)
            for dy, dx in ((0, 1), (1, 0), (1, 1))
            if y + dy < height and x + dx < width
        ]
        expected = any(labels[place] != labels[y, x] for place in looks_at)
        assert label_boundaries(labels)[y, x] == expected


@given(hnp.arrays(bool, st.tuples(st.integers(1, 19), st.integers(1, 12), st.integers(1, 12))))
def test_thinning_equals_skimage(stack):
    expected = np.stack([morphology.thin(mask) for mask in stack])
    np.testing.assert_array_equal(thin(stack), expected)
    np.testing.assert_array_equal(thin(stack[0]), expected[0])


def test_thinning_equals_skimage_on_large_shapes():
    masks = gaussian_filter(np.random.default_rng(0).normal(size=(11, 90, 120)), (0, 4, 4)) > 0
    np.testing.assert_array_equal(thin(masks), [morphology.thin(mask) for mask in masks])
