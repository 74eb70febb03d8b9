"""The layers that paths choose in: MobileNetV3's, with kernels, expansions and squeezing free."""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.utils import InvertedResidualV3, make_divisible
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.cost import ModuleCost
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS, TASK_UTILS
from mmbmtas.structures.documents import is_count
from mmbmtas.structures.paths import Candidate, is_zero
from mmbmtas.structures.values import require_count, require_positive

from .blocks import BlockEncoder, build_conv_stem, stage
from .collapsed import SQUEEZE_RATIO, CollapsedInvertedResidual
from .context import Context

_WIDTHS = (24, 40, 80, 112, 160)  # MobileNetV3-Large's, a block each
_STRIDES = (2, 2, 2, 1, 2)
_RELU_BLOCKS = 2  # the first blocks have ReLU, the others hard swish
_HARD_SWISH = {'type': 'HSwish'}


@MODELS.register_module()
class PointwiseContext(Context):
    """A 1x1 convolution with normalisation and activation: MobileNetV3's last one.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        dropout: Dropout rate before the convolution.
        norm_cfg: Normalisation.
        act_cfg: Activation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = ConvModule(
            in_channels,
            channels,
            1,
            norm_cfg=norm_cfg or dict(type='BN'),
            act_cfg=act_cfg or dict(type='ReLU'),
        )

    def forward(self, x: Any) -> Any:
        """Map ``(N, in_channels, H, W)`` to ``(N, channels, H, W)``."""
        return self.projection(self.dropout(x))


@TASK_UTILS.register_module()
class MobileNetV3PathEncoder(BlockEncoder):
    """The space in which MPNAS searches paths: inverted residuals of MobileNetV3's widths.

    Five blocks of ``per_block`` layers at 24, 40, 80, 112 and 160 channels follow a stem of 16.
    The first layer of a block has stride 2 (the fourth's 1) or changes the width; the others can
    be left out. A layer chooses its kernel, its expansion and whether it squeezes: TuNAS's
    space, with the widths of MobileNetV3-Large fixed, so that a node fits whatever came before
    (our choice; the article's text does not say). Expansion 1 keeps its 1x1 convolution. The last
    layer, a 1x1 convolution to 960 channels, is the same for all paths.

    As an encoder of other networks, each layer is its largest candidate.

    Args:
        widen_factor: Width multiplier of all channels, above 0, at most 16.
        kernels: Sizes of the depthwise convolutions, different odd numbers.
        expansions: Factors from a layer's input to its inner channels, different whole numbers.
        squeezes: Whether layers squeeze: ``(False, True)`` to choose.
        per_block: Layers of a block.
        output_stride: 8, 16 or 32: strides beyond become dilations.
        context_channels: Channels of the last layer, 960 times ``widen_factor`` by default.
        norm_cfg: Normalisation of every convolution.
        context: Another last layer, for dense prediction: ``dict(type='ContextModule',
            dilations=[1], channels=128)`` or ``dict(type='DensePredictionCell', cell=FILE)``.

    Raises:
        InputError: A number means nothing.

    Example:
        >>> encoder = MobileNetV3PathEncoder()
        >>> encoder.num_searched, len(encoder.candidates(0)), len(encoder.candidates(1))
        (20, 36, 37)
    """

    usual_context: Mapping[str, Any] = {'type': 'PointwiseContext'}
    act_cfg = _HARD_SWISH
    eps = 1e-3
    largest_decisions = ('expansion',)

    def __init__(
        self,
        widen_factor: float = 1.0,
        kernels: Sequence[int] = (3, 5, 7),
        expansions: Sequence[int] = (1, 2, 3, 4, 5, 6),
        squeezes: Sequence[bool] = (False, True),
        per_block: int = 4,
        output_stride: int = 32,
        context_channels: int | None = None,
        norm_cfg: dict | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        name = type(self).__name__
        self.widen_factor = require_positive(f'widen_factor of {name}', widen_factor, most=16)
        self.kernels = _different(f'kernels of {name}', kernels, most=15)
        if even := [kernel for kernel in self.kernels if kernel % 2 == 0]:
            raise InputError(
                f'kernels of {name} {[*kernels]}: {even[0]} is even, expected odd ones'
            )
        self.expansions = _different(f'expansions of {name}', expansions, most=64)
        if not isinstance(squeezes, Sequence) or [*squeezes] not in (
            [False],
            [True],
            [False, True],
        ):
            raise InputError(
                f'squeezes of {name} {squeezes!r}: expected [False], [True] or [False, True]'
            )
        self.squeezes = tuple(squeezes)
        self.per_block = require_count(f'per_block of {name}', per_block, most=100)
        if output_stride not in (8, 16, 32) or isinstance(output_stride, bool):
            raise InputError(f'output_stride of {name} {output_stride!r}: expected 8, 16 or 32')
        self.output_stride = output_stride
        self.stem_channels = self._widen(16)
        self.usual_channels = self._widen(960)
        super().__init__(context_channels, norm_cfg, context)

    def _widen(self, channels: int) -> int:
        return make_divisible(channels * self.widen_factor, 8)

    def _list_blocks(self) -> Iterator[dict[str, Any]]:
        for index, (channels, stride) in enumerate(zip(_WIDTHS, _STRIDES, strict=True)):
            act = {'type': 'ReLU'} if index < _RELU_BLOCKS else _HARD_SWISH
            yield from stage(
                f'block{index + 1}',
                self.per_block,
                stride,
                out_channels=self._widen(channels),
                act_cfg=act,
            )

    def build_stem(self) -> nn.Module:
        """Build the first convolution, 3 to 16 channels at stride 2."""
        return build_conv_stem(self.stem_channels, self.norm_cfg, _HARD_SWISH)

    def candidates(self, index: int) -> tuple[Candidate, ...]:
        """Return kernels, expansions and squeezing of a layer, and ``zero`` where it may lack."""
        found = [
            {'kernel': kernel, 'expansion': expansion, 'squeeze': squeeze}
            for kernel, expansion, squeeze in itertools.product(
                self.kernels, self.expansions, self.squeezes
            )
        ]
        may_lack = index % self.per_block > 0
        return (*found, *([{'zero': True}] if may_lack else []))

    def build_candidate(self, index: int, candidate: int) -> nn.Module:
        """Build a candidate of a layer; ``zero`` is the identity."""
        chosen = self.candidates(index)[candidate]
        return nn.Identity() if is_zero(chosen) else self._build(index, **chosen)

    def build_collapsed(self, index: int) -> CollapsedInvertedResidual:
        """Build all candidates of a layer as one block."""
        block = self.blocks[index]
        return CollapsedInvertedResidual(
            self.candidates(index),
            block['in_channels'],
            block['out_channels'],
            block['stride'],
            block['dilation'],
            self.norm_cfg,
            block['act_cfg'],
            self.largest_decisions,
        )

    def measure_candidates(self, shape: tuple[int, int]) -> list[list[ModuleCost]]:
        """Compute what :func:`~mmbmtas.cost.count_madds` would measure, of hundreds of blocks.

        Args:
            shape: Height and width of the image in pixels.
        """
        height, width = (-(-side // self.stem_stride) for side in shape)
        costs = []
        for index in range(self.num_searched):
            block = self.blocks[index]
            pixels, stride = height * width, block['stride']
            height, width = -(-height // stride), -(-width // stride)
            costs.append(
                [
                    ModuleCost()
                    if is_zero(candidate)
                    else _cost(block, pixels, height * width, **candidate)
                    for candidate in self.candidates(index)
                ]
            )
        return costs

    def _build_block(self, **block: Any) -> nn.Module:
        largest: dict[str, Any] = dict(
            kernel=max(self.kernels),
            expansion=max(self.expansions),
            squeeze=max(self.squeezes),
        )
        return _build_residual(self.norm_cfg, **block, **largest)

    def _build(self, index: int, **chosen: Any) -> nn.Module:
        block = {key: value for key, value in self.blocks[index].items() if key != 'name'}
        return _build_residual(self.norm_cfg, **block, **chosen)

    def _block_norm(self, block: Any) -> _BatchNorm:
        return block.linear_conv.norm

    def translate(self, key: str) -> str | None:
        """Refuse every key: no published weights fit kernels and expansions that vary."""
        raise KeyError(key)

    def _options(self) -> dict[str, Any]:
        return dict(
            widen_factor=self.widen_factor,
            kernels=[*self.kernels],
            expansions=[*self.expansions],
            squeezes=[*self.squeezes],
            per_block=self.per_block,
            output_stride=self.output_stride,
        )


def _build_residual(
    norm_cfg: dict[str, Any],
    in_channels: int,
    out_channels: int,
    stride: int,
    dilation: int,
    act_cfg: dict[str, Any],
    kernel: int,
    expansion: int,
    squeeze: bool,
) -> InvertedResidualV3:
    """Build mmseg's block. Stride 2 is set later: built so, it pads by the size of its input."""
    mid = in_channels * expansion
    with warnings.catch_warnings():  # of mmcv, of a default that is stated here
        warnings.filterwarnings('ignore', 'In MMCV v1.4.4')
        block = InvertedResidualV3(
            in_channels,
            out_channels,
            mid,
            kernel,
            se_cfg=dict(channels=mid, ratio=SQUEEZE_RATIO) if squeeze else None,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
    conv = block.depthwise_conv.conv
    conv.stride = (stride, stride)
    conv.dilation = (dilation, dilation)
    conv.padding = (dilation * (kernel // 2),) * 2
    block.with_res_shortcut = stride == 1 and in_channels == out_channels
    return block


def _cost(
    block: Mapping[str, Any],
    pixels: int,
    pixels_out: int,
    kernel: int,
    expansion: int,
    squeeze: bool,
) -> ModuleCost:
    """Compute the cost of a block at so many pixels of its input and of its output."""
    channels, channels_out = block['in_channels'], block['out_channels']
    mid = channels * expansion
    squeezed = make_divisible(mid // SQUEEZE_RATIO, 8)
    weights = {
        'expand': channels * mid,
        'depthwise': kernel**2 * mid,
        'project': mid * channels_out,
    }
    madds = weights['expand'] * pixels
    madds += (weights['depthwise'] + weights['project']) * pixels_out
    # An output without a bias takes an addition less than it takes multiplications.
    operations = 2 * madds - mid * pixels - (mid + channels_out) * pixels_out
    params = sum(weights.values()) + 2 * (2 * mid + channels_out)
    if squeeze:
        madds += 2 * mid * squeezed
        operations += 4 * mid * squeezed + mid * pixels_out
        params += 2 * mid * squeezed + mid + squeezed
    return ModuleCost(madds, operations, params)


def _different(name: str, values: Any, most: int) -> tuple[int, ...]:
    """Return different whole numbers in rising order."""
    listed = isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
    if not listed or not all(is_count(value) and 1 <= value <= most for value in values):
        raise InputError(f'{name} {values!r}: expected a list of whole numbers from 1 to {most}')
    if len(set(values)) != len(values):
        raise InputError(f'{name} {[*values]}: one value appears twice')
    return tuple(sorted(values))
