"""Encoders: layers, strides, dilations, channels and costs, one entry of ENCODERS each."""

from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import pytest
import torch
from torch import nn

from mmbmtas.cost import measure
from mmbmtas.encoders import (
    CONTEXT,
    ContextModule,
    EfficientNetLiteEncoder,
    MobileNetV2Encoder,
    ResNetEncoder,
    build_encoder,
)
from mmbmtas.errors import InputError


@dataclass
class Expected:
    """What an encoder must look like.

    ``stages`` has for each run of layers: how many, stride of the first, dilations of the first and
    of the others, output channels.
    """

    cfg: dict
    stages: list[tuple[int, int, int, int, int]]
    stem: tuple[int, int]  # channels and stride
    low_level: tuple[int, int]  # layer and channels
    context: int  # channels

    def layers(self):
        for count, stride, first, others, channels in self.stages:
            yield stride, first, channels
            yield from [(1, others, channels)] * (count - 1)

    def __str__(self):
        return '-'.join(map(str, self.cfg.values()))


def mobilenet(width, channels, **options):
    counts, strides = (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 2, 1, 1, 1)
    dilations = [(1, 1)] * 5 + [(1, 2), (2, 2)]
    stages = [
        (n, s, *d, c) for n, s, d, c in zip(counts, strides, dilations, channels, strict=True)
    ]
    cfg = {'type': 'MobileNetV2Encoder', 'widen_factor': width, **options}
    stem = max(8, int(32 * width + 4) // 8 * 8)
    return Expected(cfg, stages, (stem, 2), (2, channels[1]), options.get('context_channels', 128))


def efficientnet_lite(counts, channels, low_level, **cfg):
    strides = (1, 2, 2, 2, 1, 1, 1)
    dilations = [(1, 1)] * 5 + [(1, 2), (2, 2)]
    stages = [
        (n, s, *d, c) for n, s, d, c in zip(counts, strides, dilations, channels, strict=True)
    ]
    return Expected(cfg, stages, (32, 2), low_level, 128)


def resnet(depth, counts, expansion):
    stages = [
        (n, s, 1, d, 64 * 2**i * expansion)
        for i, (n, s, d) in enumerate(zip(counts, (1, 2, 2, 1), (1, 1, 1, 2), strict=True))
    ]
    cfg = {'type': 'ResNetEncoder', 'depth': depth}
    return Expected(cfg, stages, (64, 4), (counts[0] - 1, 64 * expansion), 256)


ENCODERS = [
    mobilenet(1.0, (16, 24, 32, 64, 96, 160, 320)),
    mobilenet(0.25, (8, 8, 8, 16, 24, 40, 80), context_channels=64),
    mobilenet(1.4, (24, 32, 48, 88, 136, 224, 448)),
    # Counts and channels of the published networks.
    efficientnet_lite(
        *((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), (2, 24)),
        type='EfficientNetLite0Encoder',
    ),
    efficientnet_lite(
        *((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320), (3, 24)),
        type='EfficientNetLiteEncoder',
        variant=1,
    ),
    efficientnet_lite(
        *((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352), (3, 24)),
        type='EfficientNetLiteEncoder',
        variant=2,
    ),
    efficientnet_lite(
        *((1, 3, 3, 5, 5, 6, 1), (24, 32, 48, 96, 136, 232, 384), (3, 32)),
        type='EfficientNetLiteEncoder',
        variant=3,
    ),
    efficientnet_lite(
        *((1, 4, 4, 6, 6, 8, 1), (24, 32, 56, 112, 160, 272, 448), (4, 32)),
        type='EfficientNetLiteEncoder',
        variant=4,
    ),
    resnet(18, (2, 2, 2, 2), 1),
    resnet(34, (3, 4, 6, 3), 1),
    resnet(50, (3, 4, 6, 3), 4),
    resnet(101, (3, 4, 23, 3), 4),
]


@pytest.fixture(scope='module', params=ENCODERS, ids=str)
def expected(request):
    return request.param


@pytest.fixture(scope='module')
def encoder(expected):
    return build_encoder(expected.cfg)


@pytest.fixture(scope='module')
def parts(encoder):
    """Stem and layers, without memory behind them."""
    with torch.device('meta'):
        return encoder.build_stem(), [encoder.build_layer(i) for i in range(encoder.num_layers)]


def spatial(module):
    """The convolutions of a block that look around themselves."""
    return [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]


class TestEncoder:
    def test_layers_and_channels(self, encoder, expected):
        layers = [*expected.layers()]
        assert encoder.num_layers == len(layers) + 1
        assert len(set(encoder.layer_names)) == encoder.num_layers
        assert encoder.layer_names[-1] == CONTEXT
        assert (encoder.low_level_index, encoder.low_level_channels) == expected.low_level
        assert encoder.context_channels == expected.context

    def test_shapes_at_every_layer(self, parts, expected):
        stem, layers = parts
        # An odd size: halves are rounded up, whatever makes the stride.
        x = stem(torch.empty(2, 3, 65, 97, device='meta'))
        channels, stride = expected.stem
        assert x.shape == (2, channels, -(-65 // stride), -(-97 // stride))
        for block, (step, _, channels) in zip(layers, expected.layers(), strict=False):
            stride *= step
            x = block(x)
            assert x.shape == (2, channels, -(-65 // stride), -(-97 // stride))
        assert stride == 16
        assert layers[-1](x).shape == (2, expected.context, 5, 7)

    def test_stride_and_dilation_of_every_block(self, parts, expected):
        for block, (stride, dilation, _) in zip(parts[1], expected.layers(), strict=False):
            convs = spatial(block)
            assert [*accumulate((conv.stride[0] for conv in convs), mul)][-1] == stride
            assert convs[0].dilation == (dilation, dilation)
            # Residuals need outputs of the input's size.
            for conv in convs:
                reach = conv.dilation[0] * (conv.kernel_size[0] // 2)
                assert conv.padding == (reach, reach)
            # mmseg's basic block dilates its first convolution only.
            assert all(conv.dilation == (1, 1) for conv in convs[1:])

    def test_low_level_features_have_stride_4(self, encoder, expected):
        strides = [expected.stem[1], *(stride for stride, _, _ in expected.layers())]
        assert [*accumulate(strides, mul)][encoder.low_level_index + 1] == 4

    def test_last_norm_ends_the_layer(self, encoder, parts):
        for index, layer in enumerate(parts[1]):
            norm = encoder.last_norm(layer)
            convs = [m for name, m in layer.named_modules() if isinstance(m, nn.Conv2d)]
            main = [
                m
                for name, m in layer.named_modules()
                if isinstance(m, nn.Conv2d) and not name.startswith('downsample')
            ]
            assert norm in set(layer.modules())
            assert norm.num_features == main[-1].out_channels, index
            after = [m for m in layer.modules() if isinstance(m, nn.BatchNorm2d)]
            assert len(after) == len(convs)

    def test_config_builds_the_same_encoder(self, encoder):
        cfg = encoder.to_config()
        again = build_encoder(cfg)
        assert again.to_config() == cfg
        assert again.layer_names == encoder.layer_names
        assert again.blocks == encoder.blocks

    def test_copies_are_separate(self, encoder):
        first, second = encoder.build_layer(0), encoder.build_layer(0)
        assert not {*first.parameters()} & {*second.parameters()}

    def test_only_the_context_module_drops_out(self, encoder):
        with torch.device('meta'):
            layers = [encoder.build_layer(i, dropout=0.3) for i in range(encoder.num_layers)]
        rates = [[m.p for m in layer.modules() if isinstance(m, nn.Dropout)] for layer in layers]
        assert rates == [[]] * (len(layers) - 1) + [[0.3]]


def layer_madds(encoder, shape):
    with torch.device('meta'):
        stem = encoder.build_stem()
        layers = [encoder.build_layer(index) for index in range(encoder.num_layers)]
    return measure(stem, layers, {}, shape, encoder.low_level_index).layer_madds


def test_layer_costs_of_the_paper():
    assert layer_madds(MobileNetV2Encoder(), (512, 512)) == (
        *(52428800, 152567808, 134479872, 80805888, 57409536, 57409536, 39518208, 53870592),
        *(53870592, 53870592, 66453504, 118554624, 118554624, 156303360, 323420160, 323420160),
        *(480706560, 75538432),
    )


@pytest.mark.parametrize('depth', [19, 0, '50'])
def test_unknown_depth(depth):
    with pytest.raises(ValueError, match=r'depth .* not in \[18, 34, 50, 101, 152\]'):
        ResNetEncoder(depth)


@pytest.mark.parametrize('variant', [5, -1, '0', 0.0])
def test_unknown_variant(variant):
    with pytest.raises(ValueError, match=r'variant .* not in \[0, 1, 2, 3, 4\]'):
        EfficientNetLiteEncoder(variant)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        ({'depth': 18, 'groups': 32}, 'groups 32 .* expected 1 at depth 18'),
        ({'depth': 50, 'base_width': 4}, 'base_width 4 .* only with groups above 1'),
        ({'depth': 50, 'groups': 0}, 'groups of ResNetEncoder 0: expected a whole number'),
        ({'depth': 50, 'groups': 2, 'base_width': 0}, 'base_width of ResNetEncoder 0: expected'),
        ({'depth': 50, 'deep_stem': 1}, 'deep_stem 1 .* expected True or False'),
        ({'depth': 50, 'avg_down': 'no'}, "avg_down 'no' .* expected True or False"),
    ],
)
def test_unknown_resnets(cfg, message):
    with pytest.raises(InputError, match=message):
        build_encoder({'type': 'ResNetEncoder', **cfg})


@pytest.mark.parametrize('arch', ['b9', 'B0', 0, None, ['b0']])
@pytest.mark.parametrize(
    'kind', ['MobileNetV3', 'EfficientNet', 'ConvNeXt', 'RegNet', 'MixTransformer', 'Swin']
)
def test_unknown_networks_of_a_family(kind, arch):
    with pytest.raises(InputError, match=rf'arch of {kind}Encoder .*expected one of \[.\w+'):
        build_encoder({'type': f'{kind}Encoder', 'arch': arch})


@pytest.mark.parametrize(
    ('key', 'tensorflow'),
    [('layers.1.0.depthwise_conv.conv.weight', False), ('features.0.0.weight', True)],
)
def test_efficientnets_of_another_library(key, tensorflow):
    """They have a place for such weights, but compute something else."""
    encoder = build_encoder({'type': 'EfficientNetEncoder', 'arch': 'b0', 'tensorflow': tensorflow})
    with pytest.raises(InputError, match=f'{key} .* with tensorflow={not tensorflow}'):
        encoder.translate_state_dict({key: torch.zeros(1)})
    with pytest.raises(InputError, match=r'tensorflow 1 .* expected True or False'):
        build_encoder({'type': 'EfficientNetEncoder', 'arch': 'b0', 'tensorflow': 1})


def test_resnet_has_its_stride_in_the_3x3_convolution():
    block = ResNetEncoder(50).build_layer(3)
    strides = [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)]
    assert strides == [1, 2, 1]


class TestContextModule:
    def module(self, dilations, dropout=0.0):
        return ContextModule(16, 8, dilations, dropout).eval()

    @pytest.mark.parametrize('dilations', [(1,), (1, 6, 12, 18)])
    def test_views_are_concatenated_and_projected(self, dilations):
        module, x = self.module(dilations), torch.randn(2, 16, 5, 7)
        views = [branch(x) for branch in module.branches]
        pooled = module.image_pool[1](x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 5, 7)
        torch.testing.assert_close(
            module(x), module.projection(torch.cat([*views, pooled], dim=1)), rtol=0, atol=1e-6
        )
        assert [conv.dilation[0] for conv in spatial(module)] == [d for d in dilations if d > 1]
        assert [conv.kernel_size for conv in spatial(module)] == [(3, 3)] * (len(dilations) - 1)

    def test_dropout_stands_before_the_projection(self):
        module, seen = self.module((1,), dropout=0.5).train(), []
        module.projection.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        module.branches[0].norm.bias.data.fill_(1)  # so that zeros come from the dropout
        module(torch.randn(2, 16, 5, 7).abs())
        dropped = (seen[0][:, :8] == 0).float().mean()
        assert dropped > 0.3

    def test_activation_is_the_encoders(self):
        raspp = MobileNetV2Encoder().build_layer(17)
        aspp = ResNetEncoder(18).build_layer(8)
        assert {type(m) for m in raspp.modules() if 'ReLU' in type(m).__name__} == {nn.ReLU6}
        assert {type(m) for m in aspp.modules() if 'ReLU' in type(m).__name__} == {nn.ReLU}
