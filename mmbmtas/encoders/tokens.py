"""Transformer blocks, which read tokens ``(N, H * W, C)``, as layers that map maps to maps."""

from typing import Any

from mmseg.models.utils import nchw_to_nlc, nlc_to_nchw
from torch import Tensor, nn


class TokenLayer(nn.Module):
    """A layer between maps: new tokens where a stage begins, a block, a normalisation.

    Args:
        embed: Makes tokens and their height and width of a map; None keeps the pixels.
        block: Maps tokens, with their height and width, to tokens.
        norm: Ends a stage.
    """

    def __init__(
        self,
        embed: nn.Module | None = None,
        block: nn.Module | None = None,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embed: Any = embed
        self.block: Any = block
        self.norm: Any = norm

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to a map, of half the sides where tokens are merged."""
        shape = x.shape[2:]
        if self.embed is None:
            x = nchw_to_nlc(x)
        else:
            x, shape = self.embed(x)
        if self.block is not None:
            x = self.block(x, shape)
        if self.norm is not None:
            x = self.norm(x)
        return nlc_to_nchw(x, shape)
