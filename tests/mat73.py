"""Writes MATLAB files of version 7.3, as MATLAB's own documentation of the format has them."""

import numpy as np
import pytest

HEADER = b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(124) + b'\x00\x02IM'


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


def save_mat73(path, **variables):
    """Write variables; the calling test is skipped without h5py."""
    h5py = pytest.importorskip('h5py')
    with h5py.File(path, 'w', userblock_size=512) as file:
        for name, value in variables.items():
            Writer(file).put(file, name, value)
    with path.open('r+b') as file:
        file.write(HEADER)
    return str(path)
