"""All candidates of an inverted residual in the weights of one block ("collapsed", TuNAS)."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmseg.models.utils import SELayer, make_divisible
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.structures.paths import Candidate

from .candidates import Choices, Decisions

SQUEEZE_RATIO = 4
"""A squeeze layer has a quarter of the channels, rounded to multiples of 8."""


class CollapsedInvertedResidual(Choices):
    """Inverted residuals of several kernels and expansions, with and without squeezing.

    A candidate takes the first channels of the widest expansion and, where it squeezes, the first
    channels of its squeeze layers. Each kernel size has weights of its own for the depthwise
    convolution. Normalisations are shared likewise (what candidates share inside is our choice).

    Warm-up steps average the outputs of the depthwise convolutions, and of squeezing and not
    squeezing.

    Args:
        candidates: The candidates, with the keys ``kernel``, ``expansion`` and ``squeeze``.
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the depthwise convolution.
        dilation: Its dilation.
        norm_cfg: Normalisation.
        act_cfg: Activation.
        largest: See :class:`Decisions`.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        in_channels: int,
        out_channels: int,
        stride: int,
        dilation: int,
        norm_cfg: dict[str, Any],
        act_cfg: dict[str, Any],
        largest: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.decisions = Decisions(candidates, largest)
        self.in_channels = in_channels
        widest = in_channels * max(self.decisions.values['expansion'])
        self.with_shortcut = stride == 1 and in_channels == out_channels
        self.expand = nn.Conv2d(in_channels, widest, 1, bias=False)
        self.expand_norm = build_norm_layer(norm_cfg, widest)[1]
        self.depthwise = nn.ModuleDict(
            {
                str(kernel): nn.Conv2d(
                    widest,
                    widest,
                    kernel,
                    stride,
                    dilation * (kernel // 2),
                    dilation,
                    groups=widest,
                    bias=False,
                )
                for kernel in self.decisions.values['kernel']
            }
        )
        self.depthwise_norm = build_norm_layer(norm_cfg, widest)[1]
        if True in self.decisions.values['squeeze']:
            with warnings.catch_warnings():  # of mmcv, of a default that is stated here
                warnings.filterwarnings('ignore', 'In MMCV v1.4.4')
                self.squeeze = SELayer(widest, SQUEEZE_RATIO)
        self.project = nn.Conv2d(widest, out_channels, 1, bias=False)
        self.project_norm = build_norm_layer(norm_cfg, out_channels)[1]
        self.activate = build_activation_layer({'inplace': True, **act_cfg})

    def run(self, x: Tensor, settled: Mapping[str, tuple[Any, ...]]) -> Tensor:
        """Run the block that some values of the decisions make."""
        (expansion,) = settled['expansion']
        width = self.in_channels * expansion
        y = F.conv2d(x, self.expand.weight[:width])
        y = self.activate(_norm(self.expand_norm, y))
        y = self.activate(_norm(self.depthwise_norm, self._convolve(y, settled['kernel'])))
        y = self._squeeze(y, settled['squeeze'])
        y = _norm(self.project_norm, F.conv2d(y, self.project.weight[:, :width]))
        return x + y if self.with_shortcut else y

    def _convolve(self, x: Tensor, kernels: Sequence[int]) -> Tensor:
        """Average the depthwise convolutions of some sizes."""
        width = x.shape[1]
        outputs = []
        for kernel in kernels:
            conv: Any = self.depthwise[str(kernel)]
            outputs.append(
                F.conv2d(
                    x,
                    conv.weight[:width],
                    None,
                    conv.stride,
                    conv.padding,
                    conv.dilation,
                    groups=width,
                )
            )
        return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(dim=0)

    def _squeeze(self, x: Tensor, choices: Sequence[bool]) -> Tensor:
        """Scale the channels, leave them, or take the mean of both."""
        if True not in choices:
            return x
        width = x.shape[1]
        squeezed = make_divisible(width // SQUEEZE_RATIO, 8)
        first, second = self.squeeze.conv1, self.squeeze.conv2
        scale = self.squeeze.global_avgpool(x)
        for part, into, outof in ((first, width, squeezed), (second, squeezed, width)):
            weight, bias = part.conv.weight[:outof, :into], part.conv.bias[:outof]
            scale = part.activate(F.conv2d(scale, weight, bias))
        return x * scale if False not in choices else x * (1 + scale) / 2


def _norm(norm: Any, x: Tensor) -> Tensor:
    """Normalise the first channels by the statistics of the batch."""
    width = x.shape[1]
    weight, bias = (None if p is None else p[:width] for p in (norm.weight, norm.bias))
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=norm.eps)
