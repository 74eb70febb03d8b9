"""The error of an image in each task, by hand."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmbmtas.comparison.affinity import image_error
from mmbmtas.registry import MODELS
from mmbmtas.structures.data_sample import MultiTaskDataSample


@pytest.fixture
def error(toys):
    """The error of a prediction, both given as nested lists ``(channels, H, W)``."""

    def compute(task, prediction, label, dtype=torch.uint8):
        config = toys.head(task)
        head = MODELS.build({**config, 'type': f'mmbmtas.{config["type"]}'})
        sample = MultiTaskDataSample()
        predicted = torch.tensor(
            prediction, dtype=torch.int64 if head.output == 'classes' else None
        )
        sample.set_data({f'pred_{task}': PixelData(data=predicted)})
        sample.set_data({f'gt_{task}': PixelData(data=torch.tensor(label, dtype=dtype))})
        return image_error(task, head, sample)

    return compute


def test_classes(error):
    # class 0: 1 of 2; class 1: 1 of 2; the last pixel is ignored
    assert error('semseg', [[[0, 0, 1, 5]]], [[[0, 1, 1, 255]]]) == pytest.approx(50)
    assert error('human_parts', [[[3, 3]]], [[[3, 3]]]) == 0


def test_saliency(error):
    assert error('saliency', [[[0.9, 0.1, 0.9, 0.1]]], [[[1, 0, 1, 255]]]) == 0
    assert error('saliency', [[[0.9, 0.9, 0.1, 0.1]]], [[[1, 0, 0, 0]]]) == pytest.approx(50)


def test_normals_and_depth(error):
    label = [[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]
    prediction = [[[0.0, 0.3]], [[1.0, 0.1]], [[0.0, 0.1]]]
    assert error('normals', prediction, label, torch.float32) == pytest.approx(90)
    found = error('depth', [[[1.0, 5.0, 9.0]]], [[[2.0, 2.0, 0.0]]], torch.float32)
    assert found == pytest.approx(math.sqrt(5))


def test_edges_take_the_loss(error):
    found = error('edge', [[[0.8, 0.4, 0.5]]], [[[1, 0, 255]]])
    expected = np.mean([-0.95 * np.log(0.8), -0.05 * np.log(0.6)])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('task', ['semseg', 'saliency', 'edge'])
def test_an_image_without_a_valid_pixel(error, task):
    value = 1 if task == 'semseg' else 0.5
    assert math.isnan(error(task, [[[value]]], [[[255]]]))


def test_a_network_that_has_diverged(error):
    with pytest.raises(FloatingPointError, match="error of 'depth' on an image is nan"):
        error('depth', [[[math.nan]]], [[[1.0]]], torch.float32)
