"""Finds broken images and labels of the validation before a training begins, not at its end."""

import time

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbmtas.errors import InputError


class ValidationImagesHook(Hook):
    """Load validation images before a training begins, as the validation will.

    A file that cannot be read, or a class out of range, would otherwise end the training at the
    first validation. Images come in a drawn order, so that of a large data set a sample is seen;
    the log says how many were. Ranks share them.

    Args:
        seconds: How long to go on.
    """

    priority = 'LOW'

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds

    def before_train(self, runner: Runner) -> None:
        """Load them.

        Raises:
            InputError: One is broken, here or on another rank; the message names its file.
        """
        if runner.val_loop is None:
            return
        dataset = runner.val_loop.dataloader.dataset
        rank, ranks = get_dist_info()
        order = np.random.default_rng(0).permutation(len(dataset))[rank::ranks].tolist()
        end = time.monotonic() + self.seconds
        loaded, failed = 0, None
        for index in order:
            try:
                dataset[index]
            except Exception as error:  # raised below, once all ranks know
                failed = error
                break
            loaded += 1
            if time.monotonic() > end:
                break
        messages = all_gather_object(failed and f'{type(failed).__name__}: {failed}')
        if failed is not None:
            raise failed
        if others := [message for message in messages if message]:
            raise InputError(f'another rank found among the validation images: {others[0]}')
        if loaded < len(order):
            runner.logger.info(
                f'{loaded * ranks} of {len(dataset)} validation images were loaded to see if they '
                'are in order; tools/dataset_converters/check_dataset.py looks at all'
            )
