"""Context modules: the last encoder layer, with dilated or pooled views of the whole image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from torch import Tensor, nn

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.values import MAX_SIDE, require_count, require_share


class Context(nn.Module):
    """The base of all context modules, which an encoder builds as its last layer.

    A module of your own derives from this class and is registered in ``MODELS``. It takes
    ``in_channels``, ``channels``, ``dropout``, ``norm_cfg``, ``act_cfg`` and ``rate_multiplier``
    beside its own arguments, and maps ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``.

    Attributes:
        projection: The convolution, with its normalisation, that ends the module; None of a module
            that has none.
    """

    projection: Any

    @classmethod
    def plain_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return a module's own arguments so that a file can hold them without further files."""
        return dict(options)


@MODELS.register_module()
class ContextModule(Context):
    """Parallel convolutions and image pooling, concatenated and projected.

    With ``dilations = (1,)`` this is R-ASPP as the paper uses it with MobileNetV2, with
    ``(1, 6, 12, 18)`` the ASPP of DeepLabv3 (method section 4).

    Args:
        in_channels: Channels of the input.
        channels: Channels of every branch and of the output.
        dilations: Rate of each convolution; rate 1 is a 1x1 convolution, others are 3x3.
        dropout: Dropout rate before the projection: 0.1 in branched networks, 0 in supernets.
        norm_cfg: Normalisation of every convolution.
        act_cfg: Activation of every convolution.
        rate_multiplier: What rates above 1 are multiplied by: 2 at output stride 8.
        separable: Make the 3x3 convolutions depthwise separable, as DeepLabv3+ has them.

    Raises:
        InputError: A number means nothing.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: Sequence[int],
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        rate_multiplier: int = 1,
        separable: bool = False,
    ) -> None:
        super().__init__()
        require_share('dropout', dropout, below_one=True)
        if not isinstance(dilations, Sequence) or isinstance(dilations, str) or not dilations:
            raise InputError(f'dilations {dilations!r} of ContextModule: expected rates')
        for rate in (*dilations, rate_multiplier):
            require_count('rate of ContextModule', rate, most=MAX_SIDE)
        layers = dict(
            conv_cfg=None,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )
        rates = tuple(rate * rate_multiplier if rate > 1 else 1 for rate in dilations)
        branches = DepthwiseSeparableASPPModule if separable else ASPPModule
        self.branches = branches(
            dilations=rates, in_channels=in_channels, channels=channels, **layers
        )
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvModule(in_channels, channels, 1, **layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = ConvModule((len(dilations) + 1) * channels, channels, 1, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        require_several_values(self.image_pool[1], len(x), 'image pooling')
        # Interpolating a 1x1 map to any size repeats its value.
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[2:])
        return self.projection(self.dropout(torch.cat([*self.branches(x), pooled], dim=1)))


@MODELS.register_module()
class NoContext(Context):
    """The last block's features as they are, for decoders that gather context themselves.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output, which are those of the input.
        others: What other modules take; there is nothing to drop or to normalise.

    Raises:
        InputError: ``channels`` are others.
    """

    projection = None

    def __init__(self, in_channels: int, channels: int, **others: Any) -> None:
        super().__init__()
        if channels != in_channels:
            raise InputError(
                f'NoContext passes {in_channels} channels on, not {channels}: expected '
                f'context_channels={in_channels} of the encoder'
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return features as they are."""
        return x


def require_several_values(conv: ConvModule, count: int, what: str) -> None:
    """Refuse to train a batch normalisation on a single value of each channel.

    Args:
        conv: A convolution and its normalisation.
        count: Number of values of a channel: images times pixels.
        what: What messages call the layer.

    Raises:
        InputError: There is one.
    """
    norm = conv.norm
    if count == 1 and isinstance(norm, nn.BatchNorm2d) and norm.training:
        raise InputError(
            f'{what} leaves one value of each channel, on which batch normalisation cannot train: '
            'expected a batch of 2 or more images'
        )
