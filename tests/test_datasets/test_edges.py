"""Edge labels, against other implementations and drawings by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.morphology import thin as skimage_thin

from mmbmtas.datasets.transforms import DeriveEdges
from mmbmtas.datasets.transforms.edges import boundary_edges, laplacian_edges


@given(arrays(np.uint16, (13, 17), elements=st.sampled_from([0, 1, 2, 3, 458, 459])))
@settings(max_examples=80)
def test_laplacian_edges_against_scipy(label_map):
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float64)
    # scipy's mirror is OpenCV's reflect-101.
    response = ndimage.correlate(label_map.astype(np.float64), kernel, mode='mirror')
    assert np.array_equal(laplacian_edges(label_map), skimage_thin(response != 0))


@given(arrays(np.uint16, (9, 11), elements=st.integers(0, 3)))
@settings(max_examples=80)
def test_boundary_edges_pixel_by_pixel(label_map):
    height, width = label_map.shape
    expected = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            expected[y, x] = any(
                label_map[b, a] != label_map[y, x]
                for b, a in neighbours
                if b < height and a < width
            )
    assert np.array_equal(boundary_edges(label_map), skimage_thin(expected))


def test_edge_between_two_halves():
    label_map = np.zeros((8, 8), np.uint16)
    label_map[:, 4:] = 7
    edges = laplacian_edges(label_map)
    assert edges.dtype == np.uint8
    # Both sides of the border respond; thinning leaves one line, and takes its end.
    assert (edges[1:].sum(1) == 1).all()
    assert set(np.flatnonzero(edges.any(0))) <= {3, 4}
    assert np.array_equal(np.flatnonzero(boundary_edges(label_map).any(0)), [3])


def test_transform_replaces_the_label_map():
    label_map = np.zeros((8, 8), np.uint16)
    label_map[:4] = 3
    results = DeriveEdges()({'label_map': label_map, 'label_keys': ['gt_semseg']})
    assert 'label_map' not in results
    assert results['label_keys'] == ['gt_semseg', 'gt_edge']
    assert np.array_equal(results['gt_edge'], laplacian_edges(label_map))
    results = DeriveEdges('boundary')({'label_map': label_map})
    assert np.array_equal(results['gt_edge'], boundary_edges(label_map))
    results = DeriveEdges(keep_label_map=True)({'label_map': label_map})
    assert results['label_keys'] == ['gt_edge', 'gt_label_map']
    assert np.array_equal(results['gt_label_map'], label_map)
    assert DeriveEdges()({'img': 0}) == {'img': 0}


def test_unknown_method():
    with pytest.raises(ValueError, match="method must be 'laplacian' or 'boundary', got 'canny'"):
        DeriveEdges('canny')
