"""Networks on every encoder of the package, as ONNX files, against the network in double precision.

One network of each family, images of 64 x 64 and, where sizes can be free, of an odd size.
"""

import numpy as np
import pytest
import torch

from mmbmtas import deploy
from mmbmtas.encoders import build_encoder
from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures import BranchedArchitecture

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnx')

ENCODERS = [
    {'type': 'ResNetEncoder', 'depth': 18, 'deep_stem': True},
    {'type': 'ResNetEncoder', 'depth': 18, 'deep_stem': True, 'avg_down': True},
    {'type': 'ResNetEncoder', 'depth': 50, 'groups': 32, 'base_width': 4},
    {'type': 'RegNetEncoder', 'arch': 'regnetx_400mf'},
    {'type': 'EfficientNetEncoder', 'arch': 'b0'},
    {'type': 'EfficientNetEncoder', 'arch': 'b0', 'tensorflow': True},
    {'type': 'EfficientNetLite0Encoder'},
    {'type': 'EfficientNetLiteEncoder', 'variant': 1},
    {'type': 'MobileNetV3Encoder', 'arch': 'small'},
    {'type': 'ConvNeXtEncoder', 'arch': 'tiny'},
    {'type': 'MixTransformerEncoder', 'arch': 'b0'},
    {'type': 'SwinEncoder', 'arch': 'tiny'},
    {'type': 'TimmEncoder', 'name': 'mobilenetv3_small_050'},
]
FIXED = [
    {'type': 'EfficientNetEncoder', 'arch': 'b0', 'tensorflow': True},
    {'type': 'MixTransformerEncoder', 'arch': 'b0'},
    {'type': 'SwinEncoder', 'arch': 'tiny'},
]
"""Those that compute with sizes."""


def is_kept(block):
    """One block of a stage, and two of the first two: the others are of the same kinds."""
    name, _, repeat = block['name'].rpartition('.')
    return int(repeat) <= (name[-1] in '12')


@pytest.fixture
def build(build_network, toys, monkeypatch):
    """Build a network of one task on an encoder that is made less deep."""

    def build(config):
        kind = type(build_encoder(config))
        # Of the one the last blocks are special, the other takes timm's networks as they are.
        if kind.__name__ not in ('MixTransformerEncoder', 'TimmEncoder'):
            kind = next(base for base in kind.__mro__ if '_list_blocks' in vars(base))
            list_blocks = kind._list_blocks
            monkeypatch.setattr(kind, '_list_blocks', lambda e: filter(is_kept, list_blocks(e)))
        encoder = build_encoder({**config, 'context_channels': 8})
        tree = BranchedArchitecture.shared(['semseg'], encoder.to_config(), encoder.num_layers)
        channels = [encoder.low_level_channels, encoder.context_channels]
        heads = {'semseg': {**toys.head('semseg'), 'in_channels': channels}}
        return build_network(toys.branched_config(['semseg'], tree=tree, heads=heads))

    return build


@pytest.mark.parametrize('config', ENCODERS, ids=lambda config: '-'.join(map(str, config.values())))
def test_exported(build, config):
    network = build(config)
    free = config not in FIXED
    exported = deploy.export_network(network, {}, dynamic=free)
    session = onnxruntime.InferenceSession(exported.content)
    network.double()
    mean, std = torch.tensor([123.0, 116, 103]), torch.tensor([58.0, 57, 56])
    for shape in ((1, 64, 64), (2, 45, 71))[: 1 + free]:
        images = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        with torch.no_grad():
            x = (torch.from_numpy(images).double() - mean) / std
            expected = network.encode_decode(x.permute(0, 3, 1, 2))['semseg'].numpy()
        (found,) = session.run(None, {'image': images.transpose(0, 3, 1, 2)})
        assert np.abs(found - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.parametrize(
    ('config', 'suffix'),
    [(FIXED[0], '.onnx'), (FIXED[1], '.onnx'), (FIXED[0], '.ts'), (FIXED[2], '.ts')],
    ids=lambda x: x if isinstance(x, str) else x['type'],
)
def test_sizes_that_cannot_be_free(build, config, suffix):
    """A trace holds what was computed from the size, so the file would be wrong on another."""
    message = rf'of {config["type"]} computes with them, .* Leave --dynamic out'
    with pytest.raises(ValueError, match=message):
        deploy.export_network(build(config), {}, dynamic=True, suffix=suffix)


def test_no_encoder_is_left_out():
    """But for those that other tests export, and those of paths."""
    elsewhere = {'MobileNetV2Encoder', 'PlainEncoder', 'MobileNetV3PathEncoder', 'TinyEncoder'}
    known = {
        name
        for name, found in TASK_UTILS.module_dict.items()
        if found.__module__.startswith('mmbmtas.encoders') and name.endswith('Encoder')
    }
    assert known - elsewhere == {config['type'] for config in ENCODERS}
