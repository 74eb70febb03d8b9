"""Exercise: a ConvNeXt-like encoder, of LayerNorm and Linear layers, is searched and retrained."""

import pytest
import torch
from torch import nn

from mmbmtas.encoders import CONTEXT, ContextModule, Encoder
from mmbmtas.models.backbones import BranchedNetwork, copy_supernet_weights
from mmbmtas.registry import MODELS, TASK_UTILS
from mmbmtas.structures import BranchedArchitecture

TASKS = ('semseg', 'normals')
WIDTHS = (6, 10)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of ``(N, C, H, W)``."""

    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """ConvNeXt's block (Liu et al., CVPR 2022), after a downsampling where a stage begins."""

    def __init__(self, before, width):
        super().__init__()
        self.down = nn.Identity()
        if before != width:
            self.down = nn.Sequential(ChannelNorm(before), nn.Conv2d(before, width, 2, stride=2))
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.project = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x):
        x = self.down(x)
        y = self.norm(self.depthwise(x).movedim(1, -1))
        y = self.scale * self.project(nn.functional.gelu(self.expand(y)))
        return x + y.movedim(-1, 1)


@TASK_UTILS.register_module(force=True)
class ConvNeXtLikeEncoder(Encoder):
    layer_names = ('stage1.0', 'stage1.1', 'stage2.0', CONTEXT)
    norm_cfg = {'type': 'BN'}  # noqa: RUF012
    stem_channels = low_level_channels = WIDTHS[0]
    low_level_index = 1
    context_channels = 8

    def build_stem(self):
        return nn.Sequential(nn.Conv2d(3, WIDTHS[0], 4, stride=4), ChannelNorm(WIDTHS[0]))

    def build_layer(self, index, dropout=0.0):
        if self.layer_names[index] == CONTEXT:
            return ContextModule(WIDTHS[1], 8, (1,), dropout, self.norm_cfg)
        before, width = [(6, 6), (6, 6), (6, 10)][index]
        return Block(before, width)

    def last_norm(self, layer):
        return layer.projection.norm if isinstance(layer, ContextModule) else None

    def translate(self, key):
        raise KeyError(key)

    def to_config(self):
        return {'type': 'ConvNeXtLikeEncoder'}


CONFIG = {'type': 'ConvNeXtLikeEncoder'}


def config(toys, backbone, **model):
    """A segmentor's config; its decoders take their channels from the encoder."""
    heads = {task: {**toys.head(task), 'in_channels': None} for task in TASKS}
    return {**model, 'backbone': backbone, 'decode_heads': heads, 'cost_shape': (64, 64)}


def test_channels_of_layers_are_found_without_normalisations():
    encoder = ConvNeXtLikeEncoder()
    assert [encoder.out_channels(index) for index in range(4)] == [6, 6, 10, 8]
    for method in ('MTAN', 'CrossStitchNetwork', 'NDDRCNN'):
        backbone = MODELS.build({'type': method, 'tasks': TASKS, 'encoder': CONFIG})
        features = backbone(torch.rand(2, 3, 64, 64))
        assert [f.shape[1] for f in features['normals']] == [6, 8]


def test_cost_of_linear_layers(toys):
    network = toys.build(
        config(
            toys,
            {'type': 'BranchedSupernet', 'tasks': TASKS, 'encoder': CONFIG},
            type='SearchEncoderDecoder',
            resource_loss={'type': 'ResourceLoss', 'weight': 1.0},
        )
    )
    # At stride 4, 16 x 16: depthwise 7 x 7, and two linear layers of 4 times the width.
    assert network.network_cost.layer_madds[0] == 16 * 16 * (49 * 6 + 2 * 4 * 6 * 6)
    # At stride 8: the strided 2 x 2 convolution too.
    assert network.network_cost.layer_madds[2] == 8 * 8 * (4 * 6 * 10 + 49 * 10 + 8 * 10 * 10)


def test_it_is_searched_and_retrained(search_runner, make_runner, toys, tmp_path):
    backbone = {'type': 'BranchedSupernet', 'tasks': TASKS, 'encoder': CONFIG}
    loss = {'type': 'ResourceLoss', 'weight': 1.0}
    model = config(toys, backbone, type='SearchEncoderDecoder', resource_loss=loss)
    search = search_runner(tmp_path / 'search', model=model)
    before = search.model.backbone.arch_params.clone()
    search.train()
    supernet = search.model.backbone
    assert not torch.equal(supernet.arch_params, before)
    path = tmp_path / 'search' / 'architecture.json'
    tree = BranchedArchitecture.load(path)
    assert tree.encoder == CONFIG

    # What is retrained is what was searched: the same features along the most probable routing.
    network = BranchedNetwork(tree, dropout=0.0)
    copy_supernet_weights(supernet, network)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = supernet.eval()(image)
        found = network.eval()(image)
    for task in TASKS:
        for one, other in zip(expected[task], found[task], strict=True):
            torch.testing.assert_close(one, other)

    trained = make_runner(
        tmp_path / 'retrained',
        config(
            toys,
            {'type': 'BranchedNetwork', 'architecture': str(path)},
            type='MultiTaskEncoderDecoder',
        ),
        {'type': 'IterBasedTrainLoop', 'max_iters': 3},
        {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'AdamW', 'lr': 1e-3},
            'constructor': 'SharedLrOptimWrapperConstructor',
        },
    )
    first = trained.model.backbone.layers[0][0]
    weight = first.project.weight.clone()
    trained.train()
    assert trained.iter == 3
    assert not torch.equal(first.project.weight, weight)


@pytest.mark.parametrize('norm', [nn.BatchNorm2d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4)])
def test_a_normalisation_of_any_kind_loses_its_affine(norm, monkeypatch):
    """Then a candidate cannot scale its output: a test of the supernet with such a last layer."""
    monkeypatch.setattr(ConvNeXtLikeEncoder, 'build_layer', lambda *_: nn.Sequential(norm))
    monkeypatch.setattr(ConvNeXtLikeEncoder, 'last_norm', lambda _, layer: layer[0])
    supernet = MODELS.build({'type': 'BranchedSupernet', 'tasks': ['a'], 'encoder': CONFIG})
    assert not [*supernet.layers[0].parameters()]
    x = torch.rand(2, 4, 4, 4)
    y = supernet.layers[0][0](x)
    torch.testing.assert_close(y.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
