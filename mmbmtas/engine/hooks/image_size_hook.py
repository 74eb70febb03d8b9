"""Finds images that are too small for a decoder before a training or a test begins."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbmtas.engine.randomness import Stream, seeded
from mmbmtas.engine.wrapping import unwrapped


class ImageSizeHook(Hook):
    """Try decoders at the size of the images that they will get, without computing anything.

    A head that pools over a fixed window fails for small images: otherwise in the first iteration,
    or at the first validation.
    """

    def before_train(self, runner: Runner) -> None:
        """Try the size of a training image, and of a validation image.

        Raises:
            InputError: A decoder fails; the message names it and the size.
        """
        _check(runner, runner.train_loop, 'training images')
        if runner.val_loop is not None:
            _check(runner, runner.val_loop, 'validation images')

    def before_test(self, runner: Runner) -> None:
        """Try the size of a test image.

        Raises:
            InputError: A decoder fails.
        """
        _check(runner, runner.test_loop, 'test images')


def _check(runner: Runner, loop: Any, images: str) -> None:
    model = unwrapped(runner.model)
    heads = [head for head in model.modules() if getattr(head, 'reads_taps', False)]
    if not heads or not hasattr(model, 'check_images'):
        return
    with seeded(runner.seed, Stream.LABELS, 0):
        sample = loop.dataloader.dataset[0]
    inputs: Any = sample.get('inputs') if isinstance(sample, dict) else None
    if hasattr(inputs, 'shape'):
        model.check_images(tuple(inputs.shape[-2:]), images)
