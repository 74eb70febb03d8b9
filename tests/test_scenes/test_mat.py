"""Our MATLAB files, against scipy's."""

import io
import zlib

import numpy as np
import pytest
import scipy.io

from mmbmtas.scenes.mat import Struct, save_mat


class TestMat:
    """Our files hold what `scipy.io.savemat` would have written, to the byte."""

    def check(self, tmp_path, value, for_scipy):
        save_mat(tmp_path / 'a.mat', 'anno', value)
        expected = io.BytesIO()
        scipy.io.savemat(expected, {'anno': for_scipy})
        content = (tmp_path / 'a.mat').read_bytes()
        assert zlib.decompress(content[136:]) == expected.getvalue()[128:]
        assert content[124:128] == expected.getvalue()[124:128]
        return scipy.io.loadmat(tmp_path / 'a.mat')['anno']

    @pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
    @pytest.mark.parametrize('shape', [(0, 0), (1, 1), (2, 2), (3, 5), (8, 1)])
    @pytest.mark.parametrize('order', 'CF')
    def test_array(self, tmp_path, dtype, shape, order):
        array = np.arange(np.prod(shape), dtype=dtype).reshape(shape, order=order)
        loaded = self.check(tmp_path, array, array)
        assert loaded.dtype == dtype
        assert (loaded == array).all()

    @pytest.mark.parametrize('text', ['cow', 'train_000001', 'a', 'potted plant'])
    def test_text(self, tmp_path, text):
        assert self.check(tmp_path, text, text).item() == text

    @pytest.mark.parametrize('count', [0, 1, 3])
    def test_structures(self, tmp_path, count):
        ids = [np.full((1, 1), i, np.uint8) for i in range(count)]
        inner = Struct(('class', 'class_ind'), [(f'kind {i}', ids[i]) for i in range(count)])
        of_scipy = np.empty((1, count), [('class', object), ('class_ind', object)])
        for i in range(count):
            of_scipy[0, i] = (f'kind {i}', ids[i])
        outer = Struct(('imname', 'objects'), [('x', inner)])
        loaded = self.check(tmp_path, outer, {'imname': 'x', 'objects': of_scipy})
        assert loaded.shape == (1, 1)
        assert loaded['objects'][0, 0].shape == (1, count)
        assert [o['class'].item() for o in loaded['objects'][0, 0][0]] == [
            f'kind {i}' for i in range(count)
        ]
