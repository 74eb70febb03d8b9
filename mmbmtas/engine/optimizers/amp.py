"""Mixed precision without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmbmtas.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """An ``OptimWrapper`` whose forward passes run in bfloat16 autocast on the CPU.

    mmengine's ``AmpOptimWrapper`` refuses to work without a GPU. bfloat16 has the exponents of
    float32, so that no loss scaling is needed. ``tools/train.py --amp`` chooses between the two.

    Example config::

        optim_wrapper = dict(type='CpuAmpOptimWrapper', optimizer=dict(type='SGD', lr=0.005))
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Add autocast to the gradient accumulation of ``OptimWrapper``."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
