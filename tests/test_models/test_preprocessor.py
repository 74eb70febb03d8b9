"""The preprocessor beside mmengine's own."""

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import PixelData

from mmbmtas.errors import InputError
from mmbmtas.models.preprocessor import BatchPreprocessor
from mmbmtas.structures.data_sample import MultiTaskDataSample


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'bgr_to_rgb': True},
        {'mean': [123.7, 116.3, 103.5], 'std': [58.4, 57.1, 57.4], 'bgr_to_rgb': True},
        {'mean': [127.5], 'std': [127.5], 'pad_size_divisor': 8, 'pad_value': 3},
    ],
    ids=str,
)
@pytest.mark.parametrize('shapes', [[(6, 8)] * 3, [(6, 8), (8, 6)], [(8, 8)]], ids=str)
def test_it_computes_what_mmengine_does(options, shapes):
    images = [torch.randint(256, (3, *shape), dtype=torch.uint8) for shape in shapes]
    batches = [images, torch.stack(images)] if len({*shapes}) == 1 else [images]
    for batch in batches:
        expected = ImgDataPreprocessor(**options)({'inputs': batch}, True)
        found = BatchPreprocessor(**options)({'inputs': batch}, True)
        assert torch.equal(found['inputs'], expected['inputs'])
        assert found.keys() == expected.keys()


@pytest.mark.parametrize('options', [{'bgr_to_rgb': True}, {'mean': [1, 2, 3], 'std': [1, 1, 1]}])
def test_grey_images_are_refused(options):
    """Not made coloured by broadcasting."""
    images = [torch.zeros(1, 6, 8, dtype=torch.uint8)] * 2
    with pytest.raises(InputError, match='images of 1 channels, expected 3'):
        BatchPreprocessor(**options)({'inputs': images}, True)


def test_bytes_travel_not_floats(pretence):
    """In few kernels, and without a wait where the images are in pinned memory."""
    images = [torch.randint(256, (3, 6, 8), dtype=torch.uint8) for _ in range(4)]
    options = {'mean': [127.5] * 3, 'std': [127.5] * 3, 'bgr_to_rgb': True}
    with pretence.pretend_gpu() as waits:
        preprocessor = BatchPreprocessor(**options).to('cuda')
        batch = {'inputs': [image.pin_memory() for image in images]}
        for counter in (waits, pretence.launched, pretence.copied):
            counter.clear()
        preprocessor(batch, True)
        assert not waits
        assert pretence.copied['bytes'] == 4 * 3 * 6 * 8
        assert pretence.launched.total() == 5  # stack, flip, convert, subtract, divide


@pytest.mark.parametrize('training', [True, False])
def test_samples_are_copied_where_predictions_are_added(training):
    """A data set may keep its samples and give them out again."""
    sample = MultiTaskDataSample(gt_edge=PixelData(data=torch.zeros(1, 6, 8)))
    batch = {'inputs': [torch.zeros(3, 6, 8)], 'data_samples': [sample]}
    (given,) = BatchPreprocessor()(batch, training)['data_samples']
    assert (given is sample) == training
    assert torch.equal(given.gt_edge.data, sample.gt_edge.data)
