"""MATLAB files of version 7.3, written as MATLAB's own documentation of the format has them."""

import numpy as np
import pytest

from mmbmtas.datasets.pascal_labels import read_human_parts, read_object_classes
from mmbmtas.evaluation.edges.truths import read_truths
from mmbmtas.reading import hdf5, read_mat

HEADER = b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(124) + b'\x00\x02IM'
SHAPE = (6, 8)


class Writer:
    """Writes variables into an open file: numbers, text, cells and structures."""

    def __init__(self, file):
        self.file = file
        self.count = 0

    def put(self, parent, name, value):
        if isinstance(value, dict):
            group = parent.create_group(name)
            group.attrs['MATLAB_class'] = np.bytes_('struct')
            for key, content in value.items():
                self.put(group, key, content)
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            group = parent.create_group(name)
            group.attrs['MATLAB_class'] = np.bytes_('struct')
            for key in value[0]:
                self.refer(group, key, [item[key] for item in value])
        elif isinstance(value, tuple):
            self.refer(parent, name, value).attrs['MATLAB_class'] = np.bytes_('cell')
        elif isinstance(value, str):
            letters = np.array([[ord(letter)] for letter in value], np.uint16)
            parent[name] = letters
            parent[name].attrs['MATLAB_class'] = np.bytes_('char')
        elif value.size == 0:
            parent[name] = np.array(value.shape, np.uint64)
            parent[name].attrs['MATLAB_class'] = np.bytes_('double')
            parent[name].attrs['MATLAB_empty'] = np.uint8(1)
        else:
            parent[name] = value.T
            parent[name].attrs['MATLAB_class'] = np.bytes_('double')

    def refer(self, parent, name, values):
        """An array 1 x N of references, stored as N x 1."""
        import h5py

        references = np.empty((len(values), 1), h5py.ref_dtype)
        for index, value in enumerate(values):
            self.count += 1
            place = str(self.count)
            self.put(self.file.require_group('#refs#'), place, value)
            references[index, 0] = self.file['#refs#'][place].ref
        return parent.create_dataset(name, data=references)


@pytest.fixture
def save():
    h5py = pytest.importorskip('h5py')

    def write(path, **variables):
        with h5py.File(path, 'w', userblock_size=512) as file:
            for name, value in variables.items():
                Writer(file).put(file, name, value)
        with path.open('r+b') as file:
            file.write(HEADER)
        return str(path)

    return write


def test_without_h5py(tmp_path, monkeypatch):
    path = tmp_path / 'depth.mat'
    path.write_bytes(HEADER + bytes(512))
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
