"""Images too small for a decoder end a training before it begins."""

from types import SimpleNamespace

import pytest
import torch

from mmbmtas.engine.hooks.image_size_hook import ImageSizeHook
from mmbmtas.errors import InputError


class Images:
    """Images of one size."""

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, index):
        torch.rand(1)  # a random crop
        return {'inputs': torch.zeros(3, *self.shape, dtype=torch.uint8)}


class Network(torch.nn.Module):
    """A network that needs images of 32 rows, with a head of a library or one of ours."""

    def __init__(self, foreign):
        super().__init__()
        self.head = torch.nn.Identity()
        self.head.reads_taps = foreign

    def check_images(self, shape, images):
        if shape[0] < 32:
            raise InputError(f'{images} {shape}')


def start(train, val, test, foreign=True, begin='before_train'):
    loops = [SimpleNamespace(dataloader=SimpleNamespace(dataset=Images(*s))) for s in (train, test)]
    val_loop = val and SimpleNamespace(dataloader=SimpleNamespace(dataset=Images(*val)))
    runner = SimpleNamespace(
        model=Network(foreign), seed=0, train_loop=loops[0], val_loop=val_loop, test_loop=loops[1]
    )
    getattr(ImageSizeHook(), begin)(runner)


@pytest.mark.parametrize(
    ('train', 'val', 'begin', 'message'),
    [
        ((16, 64), (32, 32), 'before_train', r'training images \(16, 64\)'),
        ((64, 64), (24, 64), 'before_train', r'validation images \(24, 64\)'),
        ((64, 64), (64, 64), 'before_test', r'test images \(8, 64\)'),
    ],
)
def test_the_images_of_each_loop_are_tried(train, val, begin, message):
    with pytest.raises(InputError, match=message):
        start(train, val, (8, 64), begin=begin)


def test_what_fits_is_left_alone():
    state = torch.get_rng_state()
    start((32, 32), None, (32, 32))
    start((16, 16), (16, 16), (8, 8), foreign=False)
    assert torch.equal(torch.get_rng_state(), state)
