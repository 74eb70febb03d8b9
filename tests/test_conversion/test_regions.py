import numpy as np

from mmbmtas.conversion import region_boundaries


def test_neighbours_are_parted_by_one_line():
    regions = np.ones((20, 30), int)
    regions[:, 12:] = 2
    lines = region_boundaries(regions)
    assert lines[:, 11].all()
    assert lines.sum() == 20


def test_a_gap_between_regions_is_one_line_in_its_middle():
    regions = np.ones((40, 60), int)
    regions[:, 30:] = 2
    regions[:, 27:33] = 0  # six unlabelled columns
    lines = region_boundaries(regions)
    assert (lines.sum(1) == 1).all()
    assert set(np.nonzero(lines)[1]) <= {28, 29, 30}


def test_a_wide_unlabelled_area_is_a_region():
    regions = np.ones((40, 80), int)
    regions[:, 20:50] = 0
    lines = region_boundaries(regions, gap=10)
    assert set(np.nonzero(lines)[1]) == {19, 49}
    # At the border of the image, too.
    regions = np.ones((40, 80), int)
    regions[:, 60:] = 0
    assert set(np.nonzero(region_boundaries(regions))[1]) == {59}


def test_without_labels_there_are_no_lines():
    assert not region_boundaries(np.zeros((10, 10), int)).any()
