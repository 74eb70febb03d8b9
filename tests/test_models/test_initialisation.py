"""What `init_weights` reaches: decoders too, as their `init_cfg` says."""

import pytest
import torch
from mmengine.model import PretrainedInit
from torch import nn

from mmbmtas.errors import InputError

TASKS = ('semseg', 'normals', 'edge')
NETWORKS = ('branched_config', 'search_config')


@pytest.fixture(params=NETWORKS)
def config(request, toys):
    return getattr(toys, request.param)(TASKS)


def test_the_last_convolutions_are_small(config, toys):
    torch.manual_seed(0)
    for head in config['decode_heads'].values():
        head |= {'channels': 256, 'low_level_channels': 4}
    model = toys.build(config)
    model.init_weights()
    weights = [head.conv_seg.weight.flatten() for head in model.decode_heads.values()]
    count = sum(w.numel() for w in weights)
    assert count == 256 * (21 + 3 + 1)
    # Four standard errors of the standard deviation of that many normal numbers.
    assert torch.cat(weights).std().item() == pytest.approx(0.01, rel=4 / (2 * count) ** 0.5)
    for head in model.decode_heads.values():
        assert (head.conv_seg.bias == 0).all()
        assert head.is_init


def test_other_layers_keep_an_initialisation_for_relus(config, toys):
    torch.manual_seed(0)
    model = toys.build(config)
    model.init_weights()
    for head in model.decode_heads.values():
        weight = head.low_level_projection.conv.weight
        expected = (2 / len(weight)) ** 0.5  # He et al., by the output's channels
        assert weight.std().item() == pytest.approx(expected, rel=0.5)


def test_a_heads_own_init_cfg_is_honoured_everywhere(config, toys):
    config['decode_heads']['normals']['init_cfg'] = {
        'type': 'Constant',
        'val': 0.25,
        'layer': 'Conv2d',
    }
    model = toys.build(config)
    model.init_weights()
    convs = [m for m in model.decode_heads.normals.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 6
    assert all((conv.weight == 0.25).all() for conv in convs)
    assert model.decode_heads.edge.conv_seg.weight.std() < 0.05


@pytest.mark.parametrize('kind', ['Pretrained', 'mmengine.Pretrained', PretrainedInit])
def test_a_head_starts_from_a_checkpoint(kind, config, toys, tmp_path):
    trained = toys.build(config)
    toys.randomise(trained)
    torch.save({'state_dict': trained.state_dict()}, tmp_path / 'trained.pth')
    config['decode_heads']['edge']['init_cfg'] = {
        'type': kind,
        'checkpoint': str(tmp_path / 'trained.pth'),
        'prefix': 'decode_heads.edge.',
    }
    model = toys.build(config)
    model.init_weights()
    expected = trained.decode_heads.edge.state_dict()
    for name, value in model.decode_heads.edge.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert not torch.equal(
        model.decode_heads.semseg.conv_seg.weight, trained.decode_heads.semseg.conv_seg.weight
    )


@pytest.mark.parametrize('prefix', [None, 'decode_heads.depth', 'decode_heads.edge.conv_seg'])
def test_a_checkpoint_of_which_nothing_fits_is_refused(prefix, config, toys, tmp_path):
    torch.save({'state_dict': toys.build(config).state_dict()}, tmp_path / 'trained.pth')
    config['decode_heads']['edge']['init_cfg'] = {
        'type': 'Pretrained',
        'checkpoint': str(tmp_path / 'trained.pth'),
        'prefix': prefix,
    }
    with pytest.raises(InputError, match=r'gt_edge.*trained\.pth.*decode_heads\.TASK'):
        toys.build(config).init_weights()


@pytest.mark.parametrize(
    ('listed', 'kind'),
    [(False, 'Pretrained'), (True, PretrainedInit), (True, 'mmengine.Pretrained')],
)
def test_a_model_starts_from_a_checkpoint_that_fits(listed, kind, config, toys, tmp_path):
    trained = toys.build(config)
    toys.randomise(trained)
    torch.save({'state_dict': trained.state_dict()}, tmp_path / 'trained.pth')
    torch.save({'state_dict': {'stranger': torch.ones(2)}}, tmp_path / 'other.pth')
    init_cfg = {'type': kind, 'checkpoint': str(tmp_path / 'trained.pth')}
    config['init_cfg'] = [init_cfg] if listed else init_cfg
    model = toys.build(config)
    model.init_weights()
    for own, value in zip(model.parameters(), trained.parameters(), strict=True):
        assert torch.equal(own, value)
    for strange in ({'checkpoint': str(tmp_path / 'other.pth')}, {'prefix': 'backbone.x'}):
        config['init_cfg'] = [{**init_cfg, **strange}] if listed else {**init_cfg, **strange}
        with pytest.raises(InputError, match=r'init_cfg of the model .*no weight in .*\.pth'):
            toys.build(config).init_weights()


def test_a_heads_init_cfg_does_not_go_with_single_networks(toys):
    config = toys.exchange_config('CrossStitchNetwork', ('semseg', 'edge'))
    config['init_cfg'] = {'type': 'SingleCheckpoints', 'checkpoints': {}}
    config['decode_heads']['edge']['init_cfg'] = {'type': 'Normal', 'layer': 'Conv2d'}
    with pytest.raises(
        InputError, match=r'decode_heads\.edge\.init_cfg .*single_checkpoints\.edge'
    ):
        toys.build(config)


def test_every_module_that_initialises_itself_is_reached(toys):
    """No `init_weights` of mmengine's modules waits inside torch's containers."""
    configs = [
        *(getattr(toys, name)(TASKS) for name in NETWORKS),
        *(toys.exchange_config(m, TASKS) for m in ('CrossStitchNetwork', 'NDDRCNN', 'MTAN')),
    ]
    for config in configs:
        for head in config['decode_heads'].values():
            head['init_cfg'] = {'type': 'Constant', 'val': 7.0, 'layer': 'Conv2d'}
        model = toys.build(config)
        model.init_weights()
        for head in model.decode_heads.values():
            assert (head.conv_seg.weight == 7).all()
        convs = [m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)]
        assert all(conv.weight.std() > 0 for conv in convs)
