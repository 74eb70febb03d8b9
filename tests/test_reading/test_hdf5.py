"""MATLAB files of version 7.3."""

import numpy as np
import pytest

from mmbmtas.datasets.pascal_labels import read_human_parts, read_object_classes
from mmbmtas.evaluation.edges.truths import read_truths
from mmbmtas.reading import (
    hdf5,
    mat73_shape,
    mat73_variables,
    read_mat,
    read_mat73_page,
)

SHAPE = (6, 8)


@pytest.fixture(name='save')
def _save(mat73):
    return mat73.save_mat73


def test_without_h5py(tmp_path, monkeypatch, mat73):
    path = tmp_path / 'depth.mat'
    path.write_bytes(mat73.HEADER + bytes(512))
    monkeypatch.setattr(hdf5, 'h5py', None)
    with pytest.raises(ValueError, match=r'depth\.mat: .* needs h5py; run `pip install h5py`'):
        read_mat(str(path), 'depth')


def test_arrays_have_matlabs_axes(tmp_path, save):
    depth = np.arange(48.0).reshape(SHAPE)
    path = save(tmp_path / 'a.mat', depth=depth)
    assert np.array_equal(read_mat(path, 'depth'), depth)
    with pytest.raises(ValueError, match=r"a\.mat: expected a variable 'x', found .*: depth"):
        read_mat(path, 'x')


def test_part_annotations(tmp_path, save):
    head, foot = np.zeros(SHAPE), np.zeros(SHAPE)
    head[:2, :3] = foot[4:, 5:] = 1
    parts = [{'part_name': 'head', 'mask': head}, {'part_name': 'rfoot', 'mask': foot}]
    rest = {'mask': np.ones(SHAPE), 'class': 'x'}
    objects = [
        {'class_ind': np.array([[15.0]]), 'parts': parts, **rest},
        {'class_ind': np.array([[8.0]]), 'parts': np.zeros((0, 0)), **rest},
    ]
    path = save(tmp_path / 'a.mat', anno={'imname': 'a', 'objects': objects})
    assert read_object_classes(path) == [15, 8]
    assert np.array_equal(read_human_parts(path, SHAPE), head + 6 * foot)


def test_annotators_of_boundaries(tmp_path, save):
    maps = [np.eye(*SHAPE), np.eye(*SHAPE, 1)]
    cell = tuple({'Boundaries': boundary, 'Segmentation': boundary} for boundary in maps)
    path = save(tmp_path / 'a.mat', groundTruth=cell)
    assert np.array_equal(read_truths(path, 'bsds'), np.array(maps) > 0)


def test_one_page_of_a_large_array(tmp_path, save):
    stack = np.arange(2 * 6 * 8.0).reshape(6, 8, 2)
    path = save(tmp_path / 'a.mat', depth=stack)
    assert mat73_variables(path) == ['depth']
    assert mat73_shape(path, 'depth') == (6, 8, 2)
    assert np.array_equal(read_mat73_page(path, 'depth', 1), stack[..., 1])
    with pytest.raises(ValueError, match=r"a\.mat: expected a variable 'x'"):
        mat73_shape(path, 'x')
    with pytest.raises(FileNotFoundError, match=r'b\.mat is not a MATLAB file'):
        mat73_shape(tmp_path / 'b.mat', 'depth')
