"""Encoders against the networks of the libraries they come from; one entry of NETWORKS each.

The networks are built here, so nothing is downloaded; their names of weights are those of the
published checkpoints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mmpretrain.models as mmpretrain
import mmseg.models.backbones as mmseg
import pytest
import torch
import torchvision.models as torchvision
from mmseg.models.utils import nlc_to_nchw
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.comparison.latency import measure_latency
from mmbmtas.cost import count_madds, measure
from mmbmtas.encoders import CONTEXT, build_encoder
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.models.backbones import BranchedNetwork, BranchedSupernet, copy_supernet_weights
from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings('error::RuntimeWarning')  # what is not counted
TASKS = ('semseg', 'edge')
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass
class Network:
    """A network of a library, and the encoder that is to compute the same.

    Attributes:
        cfg: The encoder's config.
        library: Where the network is from.
        build: Builds it.
        blocks: Lists what stands for each of the encoder's layers: one module, or some in a row.
        size: Height and width of the images; with odd halves wherever the encoder keeps the
            resolution that the network halves.
        exact: Whether the features are the network's where the encoder keeps a resolution too. If
            not, mmseg dilates otherwise than that asks for.
    """

    cfg: dict
    library: str
    build: Callable[[], nn.Module]
    blocks: Callable[[nn.Module], list]
    size: tuple[int, int] = (65, 33)
    exact: bool = True

    def __str__(self):
        return '-'.join([self.library, *map(str, self.cfg.values())])


def list_residual_blocks(model):
    stages = model.layer1, model.layer2, model.layer3, model.layer4
    return [[block] for stage in stages for block in stage]


def resnet(library, build, exact=True, **cfg):
    cfg = {'type': 'ResNetEncoder', **cfg}
    return Network(cfg, library, build, list_residual_blocks, exact=exact)


def mobilenet_v3(library, arch):
    if library == 'torchvision':
        build = getattr(torchvision, f'mobilenet_v3_{arch}')
        blocks = lambda model: [[block] for block in model.features[1:-1]]  # noqa: E731
    else:
        build = lambda: mmpretrain.MobileNetV3(arch)  # noqa: E731
        blocks = lambda model: [[getattr(model, name)] for name in model.layers[1:-1]]  # noqa: E731
    return Network({'type': 'MobileNetV3Encoder', 'arch': arch}, library, build, blocks)


def efficientnet(library, arch):
    cfg = {'type': 'EfficientNetEncoder', 'arch': arch}
    if library == 'torchvision':
        build, layers = getattr(torchvision, f'efficientnet_{arch}'), 'features'
    else:
        build, layers = lambda: mmpretrain.EfficientNet(arch), 'layers'
        cfg['tensorflow'] = True
    blocks = lambda model: [[b] for group in getattr(model, layers)[1:-1] for b in group]  # noqa: E731
    return Network(cfg, library, build, blocks)


def convnext(library, arch):
    if library == 'torchvision':
        build = getattr(torchvision, f'convnext_{arch}')

        def blocks(model):
            f = model.features
            for down, group in ((None, f[1]), (f[2], f[3]), (f[4], f[5]), (f[6], f[7])):
                yield from ([down, b] if down and i == 0 else [b] for i, b in enumerate(group))
    else:
        build = lambda: mmpretrain.ConvNeXt(arch)  # noqa: E731

        def blocks(model):
            for index, group in enumerate(model.stages):
                down = [model.downsample_layers[index]] if index else []
                yield from ([*down, b] if i == 0 else [b] for i, b in enumerate(group))

    cfg = {'type': 'ConvNeXtEncoder', 'arch': arch}
    return Network(cfg, library, build, lambda model: [*blocks(model)], (64, 32))


def regnet(arch):
    cfg = {'type': 'RegNetEncoder', 'arch': arch}
    return Network(cfg, 'mmpretrain', lambda: mmpretrain.RegNet(arch), list_residual_blocks)


def mix_transformer(arch, width, depths):
    def build():
        return mmseg.MixVisionTransformer(
            embed_dims=width, num_layers=depths, num_heads=[1, 2, 5, 8]
        )

    def blocks(model):
        for index, (embed, group, norm) in enumerate(model.layers):
            for i, block in enumerate(group):
                first = [embed] if index and i == 0 else []
                yield [*first, block, *([norm] if block is group[-1] else [])]

    cfg = {'type': 'MixTransformerEncoder', 'arch': arch}
    return Network(cfg, 'mmseg', build, lambda m: [*blocks(m)], (64, 96))


def swin(library, arch, depths):
    build = {
        'mmseg': lambda: mmseg.SwinTransformer(depths=depths),
        'mmpretrain': lambda: mmpretrain.SwinTransformer(arch, pad_small_map=True),
    }[library]

    def blocks(model):
        before = []
        for group in model.stages:
            yield from ([*before, b] if i == 0 else [b] for i, b in enumerate(group.blocks))
            before = [group.downsample]

    cfg = {'type': 'SwinEncoder', 'arch': arch}
    return Network(cfg, library, build, lambda m: [*blocks(m)], (64, 96))


def timm(name, blocks, **options):
    """A network of timm, which is an extra; ``blocks`` lists its layers."""

    def build():
        return pytest.importorskip('timm').create_model(name, **options)

    cfg = {'type': 'TimmEncoder', 'name': name, **options}
    return Network(cfg, 'timm', build, blocks, (64, 96))


def list_stages_of_timm(model):
    for group in model.stages:
        parts = zip([[group.downsample]] + [[]] * len(group.blocks), group.blocks, strict=False)
        yield from ([*before, block] for before, block in parts)


def list_numbered_stages(model):
    return [[b] for s in (model.s1, model.s2, model.s3, model.s4) for b in s.children()]


SEARCHED = []


def searched(network):
    """Let a network stand for its family in the tests of a search."""
    SEARCHED.append(network)
    return network


V1C, V1D = {'deep_stem': True}, {'deep_stem': True, 'avg_down': True}
RESNEXT = {'depth': 50, 'groups': 32, 'base_width': 4}
NETWORKS = [
    resnet('mmpretrain', lambda: mmpretrain.ResNetV1c(depth=18), False, depth=18, **V1C),
    resnet('mmseg', lambda: mmseg.ResNetV1c(depth=18), False, depth=18, **V1C),
    searched(resnet('mmpretrain', lambda: mmpretrain.ResNetV1d(depth=18), False, depth=18, **V1D)),
    resnet('mmpretrain', lambda: mmpretrain.ResNeXt(depth=50), **RESNEXT),
    searched(mobilenet_v3('mmpretrain', 'small')),
    mobilenet_v3('torchvision', 'small'),
    efficientnet('mmpretrain', 'b0'),
    searched(efficientnet('torchvision', 'b0')),
    searched(convnext('mmpretrain', 'tiny')),
    convnext('torchvision', 'tiny'),
    searched(regnet('regnetx_400mf')),
    searched(mix_transformer('b0', 32, (2, 2, 2, 2))),
    searched(swin('mmseg', 'tiny', (2, 2, 6, 2))),
    swin('mmpretrain', 'tiny', (2, 2, 6, 2)),
    searched(timm('resnet18', list_residual_blocks)),
    timm('resnet18', list_residual_blocks, output_stride=16),
    searched(timm('convnext_atto', lambda model: [*list_stages_of_timm(model)])),
    searched(timm('mobilenetv3_small_050', lambda model: [[b] for s in model.blocks for b in s])),
    searched(timm('regnety_002', list_numbered_stages)),
    timm('inception_next_atto', lambda model: [*list_stages_of_timm(model)]),
]
LARGER = [
    resnet('mmpretrain', lambda: mmpretrain.ResNetV1d(depth=50), depth=50, **V1D),
    resnet('torchvision', torchvision.resnext50_32x4d, **RESNEXT),
    mobilenet_v3('mmpretrain', 'large'),
    efficientnet('torchvision', 'b1'),
    efficientnet('mmpretrain', 'b4'),
    convnext('mmpretrain', 'small'),
    regnet('regnetx_1.6gf'),
    mix_transformer('b2', 64, (3, 4, 6, 3)),
    swin('mmseg', 'small', (2, 2, 18, 2)),
]


def skip_without(network):
    if network.library == 'timm' and find_spec('timm') is None:
        pytest.skip('timm is not installed')
    return network


@pytest.fixture(scope='module', params=NETWORKS, ids=str)
def network(request):
    return skip_without(request.param)


@pytest.fixture(scope='module')
def kept(encoder):
    """The first layer that keeps a resolution, or the number of layers."""
    dilated = [index for index, block in enumerate(encoder.blocks) if block['dilation'] > 1]
    return dilated[0] - 1 if dilated else len(encoder.blocks)


@pytest.fixture(scope='module')
def model(network, kept):
    """The library's network, whose parameters are none that an initialisation gives.

    A squeeze over more pixels has another mean, so it does not count where resolution is kept.
    """
    torch.manual_seed(0)
    model = network.build()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, NORMS):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.1)
            if isinstance(part, _BatchNorm):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
        for name, parameter in model.named_parameters():
            if name.endswith(('layer_scale', 'gamma', 'bias_table')):
                parameter.uniform_(0.1, 0.5)
        for part in (part for group in network.blocks(model)[kept:] for part in group):
            for name, child in part.named_modules():
                if name.endswith(('fc2', 'se.conv2.conv')):
                    nn.init.zeros_(child.weight)
    model.eval()  # mmpretrain's returns nothing
    return model


@pytest.fixture(scope='module')
def encoder(network):
    return build_encoder(network.cfg)


@pytest.fixture(scope='module')
def loaded(encoder, model):
    """Stem and blocks with the library's weights; every key has its place and its shape."""
    weights, unknown = encoder.translate_state_dict(model.state_dict())
    assert unknown == []
    stem = encoder.build_stem()
    layers = nn.ModuleList(encoder.build_layer(i) for i in range(encoder.num_layers - 1))
    whole = nn.ModuleDict({'stem': stem, 'layers': layers}).eval()
    whole.load_state_dict(weights)
    return stem, layers


def as_map(x, like):
    """Lay out tokens as a map of the size of another."""
    return nlc_to_nchw(x, like.shape[2:]) if x.dim() == 3 else x


@pytest.fixture(scope='module')
def runs(network, model, loaded):
    """Of each layer: input and output, ours and the library's, as maps; arguments of its parts."""
    theirs, ours, hooks = [], [], []

    def watch(group, found):
        given = []
        for part in group:
            hooks.append(part.register_forward_pre_hook(lambda _, args: given.append(args)))
        done = lambda _, __, y: found.append((given, y))  # noqa: E731
        hooks.append(group[-1].register_forward_hook(done))

    for group in network.blocks(model):
        watch(group, theirs)
    for layer in loaded[1]:
        watch([layer], ours)
    image = torch.randn(1, 3, *network.size)
    with torch.no_grad():
        model(image)
        nn.Sequential(loaded[0], *loaded[1])(image)
    for hook in hooks:
        hook.remove()
    assert len(ours) == len(theirs)
    found = []
    for (((x,),), y), (args, their_y) in zip(ours, theirs, strict=True):
        found.append((x, y, as_map(args[0][0], x), as_map(their_y, y), args))
    return found


def test_features_are_the_librarys(network, kept, runs):
    """Dilation in place of a stride keeps every second value, if all dilations are right."""
    for _, ours, _, theirs, _ in runs if network.exact else runs[:kept]:
        step = 1 if ours.shape == theirs.shape else 2
        torch.testing.assert_close(ours[..., ::step, ::step], theirs, rtol=1e-4, atol=1e-5)


def test_costs_are_the_librarys(network, model, loaded, runs):
    """A block costs what the library's does on such a map, unless it keeps a resolution."""
    counted = 0
    groups = network.blocks(model)
    for layer, group, (x, y, their_x, their_y, args) in zip(loaded[1], groups, runs, strict=True):
        ours = count_madds(layer, their_x)
        assert ours.params == sum(p.numel() for part in group for p in part.parameters())
        if (x.shape == their_x.shape) == (y.shape == their_y.shape):
            theirs = [count_madds(part, *given) for part, given in zip(group, args, strict=True)]
            assert ours == sum(theirs[1:], theirs[0])
            counted += 1
    assert counted >= len(groups) - 1


def test_keys_that_have_no_place(encoder, model):
    """Of names a checkpoint may have, those of another network are reported."""
    state = model.state_dict()
    own = next(reversed([key for key in state if encoder.translate(key) is not None]))
    strange = {'extra.weight', 'encoder.0.q.weight', f'x{own}', f'teacher.{own}'}
    _, unknown = encoder.translate_state_dict(state | dict.fromkeys(strange, torch.zeros(1)))
    assert {*unknown} == strange


def test_config_builds_the_same_encoder(network, encoder):
    again = build_encoder(encoder.to_config())
    assert again.to_config() == encoder.to_config()
    assert again.blocks == encoder.blocks
    assert {**network.cfg, 'context_channels': encoder.context_channels} == encoder.to_config()


def test_shapes_stages_and_low_level_features(encoder):
    with torch.device('meta'):
        parts = [encoder.build_stem(), *map(encoder.build_layer, range(encoder.num_layers))]
        x, maps = torch.empty(2, 3, 64, 96), []
        for part in parts:
            x = part(x)
            maps.append(x)
    low = maps[encoder.low_level_index + 1]
    assert low.shape == (2, encoder.low_level_channels, 16, 24)
    assert maps[encoder.low_level_index + 2].shape[2:] < low.shape[2:]
    assert maps[-1].shape[1] == encoder.context_channels
    assert encoder.layer_names[-1] == CONTEXT
    ends = [stage.stop for stage in encoder.stages]
    assert ends[-1] == encoder.num_layers - 1


def test_last_norm_ends_the_layer(encoder):
    """Nothing with parameters runs after it, except a shortcut; without it no norm is last."""
    for index in range(encoder.num_layers):
        with torch.device('meta'):
            layer = encoder.build_layer(index)
        run = []
        for name, part in layer.named_modules():
            if 'downsample' not in name and [*part.parameters(recurse=False)]:
                part.register_forward_hook(lambda part, *_, run=run: run.append(part))
        before = encoder.blocks[index]['in_channels'] if index < len(encoder.blocks) else None
        channels = before or encoder.out_channels(index - 1)
        with torch.no_grad():
            layer.eval()(torch.empty(1, channels, 16, 16, device='meta'))
        norm = encoder.last_norm(layer)
        assert (run[-1] is norm) if norm is not None else not isinstance(run[-1], NORMS)


@pytest.mark.parametrize('network', LARGER, ids=str)
def test_keys_of_larger_networks(network, monkeypatch):
    """All have their place and their shape; numbers do not matter."""
    for layer in (nn.Conv2d, nn.Linear):
        monkeypatch.setattr(layer, 'reset_parameters', lambda _: None)
    encoder = build_encoder(network.cfg)
    weights, unknown = encoder.translate_state_dict(network.build().state_dict())
    with torch.device('meta'):
        stem = encoder.build_stem()
        layers = nn.ModuleList(map(encoder.build_layer, range(encoder.num_layers - 1)))
    own = nn.ModuleDict({'stem': stem, 'layers': layers}).state_dict()
    assert unknown == []
    assert {k: v.shape for k, v in weights.items()} == {k: v.shape for k, v in own.items()}


@pytest.fixture(scope='module', params=SEARCHED, ids=str)
def config(request):
    """The config of an encoder, narrowed where it has no more to show."""
    return {**skip_without(request.param).cfg, 'context_channels': 8}


def test_another_context_module(config):
    """The encoder's file states it, as any encoder's does."""
    encoder = build_encoder({**config, 'context': {'dilations': [1, 2]}})
    assert encoder.to_config()['context']['dilations'] == [1, 2]
    rates = [
        branch.conv.dilation for branch in encoder.build_layer(encoder.num_layers - 1).branches
    ]
    assert rates == [(1, 1), (2, 2)]


def test_what_is_searched_is_what_is_trained(config):
    """The supernet learns, its tree is saved and read, and the tree's network computes the same."""
    supernet = BranchedSupernet(TASKS, config)
    supernet.init_weights()
    features = supernet(torch.randn(2, 3, 64, 64))
    sum(f.square().mean() for pair in features.values() for f in pair).backward()
    assert supernet.arch_params.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in supernet.weights())
    with torch.no_grad():
        supernet.arch_params.normal_()
    tree = BranchedArchitecture.from_dict(supernet.export_architecture().to_dict())
    assert build_encoder(tree.encoder).to_config() == supernet.encoder.to_config()
    network = BranchedNetwork(tree, dropout=0.0)
    copy_supernet_weights(supernet, network)
    supernet.eval(), network.eval()
    with torch.no_grad():
        image = torch.randn(1, 3, 64, 64)
        for one, other in zip(supernet(image).values(), network(image).values(), strict=True):
            torch.testing.assert_close(one, other)
    parts = network.stem, [branches[0] for branches in network.layers]
    cost = measure(*parts, {}, (64, 64), network.encoder.low_level_index)
    copies = [grouping.num_groups for grouping in tree.groupings]
    whole = count_madds(network, torch.empty(1, 3, 64, 64))
    assert whole == sum((c * n for c, n in zip(cost.layers, copies, strict=True)), cost.stem)


def test_latency_table(config):
    """The encoder is named on the command line; the table has each layer by number of copies."""
    entries = {f'model.backbone.encoder.{key}': value for key, value in config.items()}
    found = read_tree_config(
        str(ROOT / 'configs' / 'search_scenes.py'),
        {
            'tasks': [*TASKS],
            'cost_shape': (64, 64),
            'model.backbone.encoder._delete_': True,
            **entries,
        },
    )
    table = measure_latency(found, torch.device('cpu'), 0, 1)
    assert [len(row) for row in table.layers_ms] == [2] * build_encoder(config).num_layers
    assert table.encoder == build_encoder(config).to_config()
