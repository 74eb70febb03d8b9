"""Features of several levels: which layers give them, and that every backbone returns them."""

import re
from pathlib import Path

import mmseg.models.backbones as mmseg
import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from mmbmtas.comparison.latency import measure_latency
from mmbmtas.cost import count_madds
from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.models.backbones import copy_supernet_weights
from mmbmtas.registry import MODELS

ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'edge', 'depth')
FOUR = [0, 1, 2, 3]


def uper_head(**options):
    fixed = {'channels': 8, 'num_classes': 21, 'norm_cfg': {'type': 'BN'}}
    return {'type': 'mmseg.UPerHead', 'in_index': FOUR, **fixed, **options}


# Networks of mmseg with strides 4, 8, 16 and 32, as segmentors of four levels have them.
NETWORKS = [
    ({'type': 'ResNetEncoder', 'depth': 18}, lambda: mmseg.ResNet(18)),
    ({'type': 'MobileNetV2Encoder'}, lambda: mmseg.MobileNetV2(out_indices=(1, 2, 4, 6))),
    (
        {'type': 'MixTransformerEncoder', 'arch': 'b0'},
        lambda: mmseg.MixVisionTransformer(embed_dims=32, num_heads=[1, 2, 5, 8]),
    ),
    ({'type': 'SwinEncoder', 'arch': 'tiny'}, lambda: mmseg.SwinTransformer(depths=(2, 2, 6, 2))),
]


@pytest.mark.parametrize(('cfg', 'build'), NETWORKS, ids=[cfg['type'] for cfg, _ in NETWORKS])
def test_levels_are_those_of_mmseg(cfg, build):
    """Up to the last, where the context module's output stands for what it reads."""
    encoder = build_encoder(cfg)
    shapes = [encoder.output_shapes((64, 64))[tap] for tap in encoder.taps]
    network = build()
    network.eval()  # some return nothing
    with torch.no_grad():
        theirs = network(torch.zeros(1, 3, 64, 64))
    assert len(shapes) == len(theirs) == 4
    assert shapes[:3] == [x.shape[1:] for x in theirs[:3]]
    assert shapes[3][0] == encoder.context_channels
    assert encoder.taps[0] == encoder.low_level_index
    assert encoder.taps[-1] == encoder.num_layers - 1


def test_an_encoder_of_ones_own_has_a_level_for_each_resolution(toys):
    """Counted by what its layers do, where no published strides are known."""

    class Halving(type(build_encoder(toys.TINY))):
        layer_names = ('s1.0', 's1.1', 's2.0', 's2.1', 's3.0', 'context')
        low_level_index = 1

        def build_layer(self, index, dropout=0.0):
            return nn.Conv2d(4, 4, 3, stride=2 if index in (2, 4) else 1, padding=1)

    assert Halving().taps == (1, 3, 5)
    assert build_encoder(toys.TINY).taps == (0, 2)
    plain = {'type': 'PlainEncoder', 'width': 4}
    assert build_encoder({**plain, 'depth': 3}).taps == (0, 2)
    assert build_encoder({**plain, 'depth': 1}).taps == (0, 0)


TWO = ('semseg', 'depth')
DOMAINS = {'rooms': ['semseg', 'depth'], 'roads': ['edge']}


def configs(toys):
    yield 'tree', toys.branched_config(TWO)
    yield 'search', toys.search_config(TWO)
    for method in ('CrossStitchNetwork', 'MTAN'):
        yield method, toys.exchange_config(method, TWO)
    yield 'paths', toys.path_config(DOMAINS)
    yield 'path search', toys.path_search_config(DOMAINS)


KINDS = ('tree', 'search', 'CrossStitchNetwork', 'MTAN', 'paths', 'path search')


@pytest.mark.parametrize('kind', KINDS)
def test_every_backbone_gives_them(kind, toys):
    """First and last are bit for bit what two features are; a head of four levels trains."""
    config = dict(configs(toys))[kind]
    plain = toys.build(config)
    plain.init_weights()
    config['decode_heads'] = {**config['decode_heads'], 'semseg': uper_head()}
    config['auxiliary_heads'] = {
        'semseg': {'type': 'mmseg.FCNHead', 'in_index': 2, 'channels': 4, 'num_convs': 1}
    }
    model = toys.build(config)
    model.init_weights()
    model.backbone.load_state_dict(plain.backbone.state_dict())
    domains = DOMAINS if 'path' in kind else None
    inputs, samples = toys.domain_batch(domains) if domains else toys.batch(TWO)
    model.eval(), plain.eval()
    encoder = model.backbone.encoder
    arguments = (inputs, 'rooms') if domains else (inputs,)
    four, two = model.backbone(*arguments), plain.backbone(*arguments)
    if kind == 'path search':
        four, two = {'semseg': four}, {'semseg': two}
    shapes = [encoder.output_shapes((64, 64))[tap] for tap in encoder.taps]
    for task, features in four.items():
        assert [x.shape[1:] for x in features] == shapes
        assert torch.equal(features[0], two[task][0])
        assert torch.equal(features[-1], two[task][1])
    model.train()
    losses = model.loss(inputs, samples)
    assert {'semseg.loss_ce', 'semseg.aux.loss_ce'} <= {*losses}
    model.parse_losses(losses)[0].backward()
    trained = [*model.decode_heads.parameters(), *model.auxiliary_heads.parameters()]
    assert all(p.grad is not None for p in trained)
    measured = model.measure_paths() if domains else model.measure_cost()
    given = tuple(torch.empty(1, *shape) for shape in shapes)
    assert measured.decoders['semseg'] == count_madds(model.decode_heads['semseg'], given)


def test_a_tree_gives_each_task_the_levels_of_its_own_branch(toys):
    tree = toys.random_tree(TASKS, seed=3)
    whole = toys.network(tree)
    toys.randomise(whole)
    whole.taps = whole.encoder.taps
    image = torch.randn(2, 3, 64, 64)
    found = whole.eval()(image)
    for task in TASKS:
        alone = toys.network(tree, task=task, out_indices=[*whole.encoder.taps])
        alone.load_state_dict(whole.state_dict(), strict=False)
        for one, other in zip(found[task], alone.eval()(image), strict=True):
            assert torch.equal(one, other)


def test_what_is_searched_is_what_is_trained(toys):
    supernet = toys.supernet(TASKS)
    toys.randomise(supernet)
    toys.route(supernet, toys.random_routing(TASKS, 18))
    network = toys.network(supernet.export_architecture())
    copy_supernet_weights(supernet, network)
    supernet.taps = network.taps = network.encoder.taps
    image = torch.randn(1, 3, 64, 64)
    found, expected = network.eval()(image), supernet.eval()(image)
    for task in TASKS:
        assert len(found[task]) == 4
        for one, other in zip(found[task], expected[task], strict=True):
            torch.testing.assert_close(one, other)


@pytest.fixture
def segformer(toys):
    """A search of SegFormers: no context module, and heads that read the network's own levels."""
    encoder = {
        'type': 'MixTransformerEncoder',
        'arch': 'b0',
        'context': {'type': 'NoContext'},
        'context_channels': 256,
    }
    head = uper_head(type='mmseg.SegformerHead')
    loss = {'output': 'value', 'loss_decode': {'type': 'mmbmtas.DepthL1Loss'}}
    return toys.search_config(
        TWO, encoder, heads={'semseg': head, 'depth': {**head, **loss, 'num_classes': 1}}
    )


def test_a_tree_of_segformers_is_mmsegs_segformer(segformer, toys):
    search = toys.build(segformer)
    search.init_weights()
    total, _ = search.parse_losses(search.loss(*toys.batch(TWO)))
    total.backward()
    assert search.network_cost.layer_madds[-1] == 0
    tree = search.export_architecture()
    config = toys.branched_config(TWO, tree=tree, heads=segformer['decode_heads'])
    model = toys.build(config).eval()
    theirs = ROOT_MODELS.build(
        {
            'type': 'mmseg.EncoderDecoder',
            'backbone': {
                'type': 'mmseg.MixVisionTransformer',
                'embed_dims': 32,
                'num_heads': [1, 2, 5, 8],
                'num_layers': [2, 2, 2, 2],
            },
            'decode_head': {
                **uper_head(type='mmseg.SegformerHead'),
                'in_channels': [32, 64, 160, 256],
            },
            'test_cfg': {'mode': 'whole'},
        }
    )
    theirs.eval()
    toys.randomise(theirs)
    weights, unknown = model.backbone.encoder.translate_state_dict(theirs.backbone.state_dict())
    assert unknown == []
    own = model.backbone.state_dict()
    for name, value in weights.items():
        place = name if name.startswith('stem') else re.sub(r'^(layers.\d+)', r'\1.0', name)
        own[place].copy_(value)
    model.decode_heads['semseg'].load_state_dict(theirs.decode_head.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found, expected = (
            model.encode_decode(image)['semseg'],
            theirs.encode_decode(image, [{'img_shape': (64, 96)}]),
        )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_no_context_takes_the_channels_as_they_are():
    cfg = {'type': 'ResNetEncoder', 'depth': 18, 'context': {'type': 'NoContext'}}
    encoder = build_encoder({**cfg, 'context_channels': 512})
    assert build_encoder(encoder.to_config()).to_config() == encoder.to_config()
    assert encoder.last_norm(encoder.build_layer(8)) is None
    with pytest.raises(InputError, match=r'passes 512 channels on, .* context_channels=512'):
        build_encoder(cfg).build_layer(8)


def test_a_backbone_without_taps_gives_two(toys):
    class Bare(nn.Module):
        tasks = ('semseg',)
        encoder = build_encoder(toys.MOBILENET)

        def shared_by(self):
            return ()

        def forward(self, x):
            return {'semseg': (x.new_zeros(2, 8, 16, 16), x.new_zeros(2, 8, 4, 4))}

    MODELS.register_module(name='BareBackbone', force=True, module=Bare)
    config = {'type': 'MultiTaskEncoderDecoder', 'backbone': {'type': 'BareBackbone'}}
    with pytest.raises(InputError, match=r'in_index .*from 0 to 1, as the encoder gives 2'):
        toys.build({**config, 'decode_heads': {'semseg': uper_head()}})
    model = toys.build({**config, 'decode_heads': {'semseg': uper_head(in_index=[0, -1])}})
    inputs, _ = toys.batch([])
    assert model.eval().encode_decode(inputs)['semseg'].shape == (2, 21, 64, 64)


def test_a_latency_table_has_the_decoders_time():
    options = {
        'tasks': ['semseg', 'edge'],
        'cost_shape': (64, 64),
        'model.decode_heads.semseg': {'_delete_': True, **uper_head()},
    }
    found = read_tree_config(str(ROOT / 'configs' / 'search_scenes.py'), options)
    table = measure_latency(found, torch.device('cpu'), 0, 1)
    assert set(table.decoders_ms) == {'semseg', 'edge'}
