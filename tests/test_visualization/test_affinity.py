"""The picture of the affinities."""

import numpy as np
import pytest
from PIL import Image

from mmbmtas.visualization.affinity import plot_affinities


@pytest.mark.parametrize(('layers', 'tasks'), [(18, 5), (1, 2), (7, 3)])
def test_a_matrix_a_layer(tmp_path, layers, tasks):
    path = tmp_path / 'rsa.png'
    plot_affinities(np.ones((layers, tasks, tasks)), list('abcde')[:tasks], path)
    with Image.open(path) as picture:
        assert len(np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3), axis=0)) > 10


def test_of_other_layers(tmp_path):
    with pytest.raises(ValueError, match='expected 2 layers, 2 tasks'):
        plot_affinities(np.ones((3, 2, 2)), ['a', 'b'], tmp_path / 'rsa.png', ['x', 'y'])
    assert not (tmp_path / 'rsa.png').exists()
