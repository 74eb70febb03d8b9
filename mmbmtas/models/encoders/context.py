"""Context modules: the last encoder layer, with dilated or pooled views of the whole image."""

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.aspp_head import ASPPModule
from torch import Tensor, nn

from mmbmtas.structures.values import require_share


class ContextModule(nn.Module):
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

    Raises:
        InputError: ``dropout`` is no number from 0 to less than 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: tuple[int, ...],
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        require_share('dropout', dropout, below_one=True)
        layers = dict(
            conv_cfg=None,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )
        self.branches = ASPPModule(dilations, in_channels, channels, **layers)
        self.image_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvModule(in_channels, channels, 1, **layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = ConvModule((len(dilations) + 1) * channels, channels, 1, **layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        # Interpolating a 1x1 map to any size repeats its value.
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[2:])
        return self.projection(self.dropout(torch.cat([*self.branches(x), pooled], dim=1)))
