"""Dense prediction cells as context modules: the paper's and the public code's numbers."""

import json
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS as MMSEG_MODELS
from torch import nn

from mmbmtas.cost import count_madds
from mmbmtas.encoders import ContextModule, DensePredictionCell, build_encoder
from mmbmtas.encoders.dense_prediction_cell import PyramidPooling
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.models.backbones import BranchedNetwork, wide
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture, CellSpace, DenseCell

ROOT = Path(__file__).parents[2]
FOUND = DenseCell.load(ROOT / 'configs/cells/dpc_cityscapes.json')
# The cell of the public code's tests: each kind of operation.
MIXED = [
    {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 3]},
    {'input': 0, 'op': 'pyramid_pooling', 'grid_size': [2, 2]},
    {'input': 1, 'op': 'conv', 'kernel': 1},
    {'input': 0, 'op': 'conv', 'kernel': 3, 'rate': [21, 21]},
]
MOBILENET = {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context_channels': 8}
MIXED_ENCODER = {
    **MOBILENET,
    'context': {'type': 'DensePredictionCell', 'cell': MIXED},
}
TASKS = ('semseg', 'edge')
ENCODERS = {
    'mobilenet': MOBILENET,
    'resnet': {'type': 'ResNetEncoder', 'depth': 18, 'context_channels': 8},
    'lite': {'type': 'EfficientNetLiteEncoder', 'variant': 0, 'context_channels': 8},
    'lite0': {'type': 'EfficientNetLite0Encoder', 'context_channels': 8},
}


def branches_with_known_weights(cell, pooling='grid'):
    """Depthwise all ones, filter o of a pointwise convolution (o + 1) / 10, no normalisation."""
    module = DensePredictionCell(1, 2, cell, pooling=pooling).eval()
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data.fill_(1)
            if child.kernel_size == (1, 1):
                outputs = torch.arange(1.0, child.out_channels + 1) / 10
                child.weight.data.copy_(outputs.view(-1, 1, 1, 1).expand_as(child.weight))
        if isinstance(child, nn.BatchNorm2d):
            child.eps = 0.0
    return module.run_branches


class TestForward:
    def test_separable_convolution(self):
        run = branches_with_known_weights([MIXED[0]])
        edge, inner = [4.0, 4, 2, 4, 4], [6.0, 6, 3, 6, 6]
        expected = torch.tensor([edge, inner, inner, inner, edge])
        torch.testing.assert_close(run(torch.ones(1, 1, 5, 5))[0][0, 0] * 10, expected)

    @pytest.mark.parametrize(
        ('pooling', 'pooled'),
        [('grid', [3.333333, 6.666667, 1.0, 2.0]), ('sliding', [3.5, 7.0, 1.05, 2.1])],
    )
    def test_a_cell_of_every_operation(self, pooling, pooled):
        run = branches_with_known_weights(MIXED, pooling)
        y = torch.cat(run(torch.ones(1, 1, 5, 5)), dim=1)
        assert y.shape == (1, 8, 5, 5)
        sums = torch.tensor([11.7, 23.4, *pooled, 3.51, 7.02])
        torch.testing.assert_close(y.sum(dim=(0, 2, 3)), sums, rtol=1e-5, atol=1e-5)
        if pooling == 'grid':
            centre = torch.tensor([0.3, 0.6, 0.133333, 0.266667, 0.04, 0.08, 0.09, 0.18])
            torch.testing.assert_close(y[0, :, 2, 2], centre, rtol=1e-5, atol=1e-5)

    def test_the_found_cell(self):
        y = torch.cat(
            branches_with_known_weights(FOUND)(torch.arange(35.0).view(1, 1, 5, 7) / 10), dim=1
        )
        sums = [19.89, 39.78, 5.967, 11.934, 3.7791, 7.5582, 41.055, 82.11, 5.967, 11.934]
        centre = [0.51, 1.02, 0.153, 0.306, 0.2295, 0.459, 1.377, 2.754, 0.153, 0.306]
        torch.testing.assert_close(y.sum(dim=(0, 2, 3)), torch.tensor(sums), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(y[0, :, 2, 3], torch.tensor(centre), rtol=1e-5, atol=1e-5)

    def test_all_branches_are_concatenated_and_projected(self):
        module, x = DensePredictionCell(3, 4, MIXED).eval(), torch.randn(2, 3, 5, 7)
        expected = module.projection(torch.cat(module.run_branches(x), dim=1))
        torch.testing.assert_close(module(x), expected)
        assert module(x).shape == (2, 4, 5, 7)
        assert module.projection.conv.in_channels == 16

    def test_rates_double_at_output_stride_8(self):
        module = DensePredictionCell(3, 4, FOUND, rate_multiplier=2)
        found = [branch.depthwise_conv.conv.dilation for branch in module.branches]
        assert found == [(2, 12), (36, 30), (12, 6), (2, 2), (12, 42)]
        assert all(
            b.depthwise_conv.conv.padding == r for b, r in zip(module.branches, found, strict=True)
        )

    def test_gradient_reaches_every_branch(self):
        module = DensePredictionCell(3, 4, MIXED)
        module(torch.randn(2, 3, 12, 12)).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())

    def test_cells_of_a_key_compute_the_same_on_maps_of_the_size(self):
        """Rates and grids beyond the map are clipped by the key, and make no difference."""
        size, space = (4, 6), CellSpace(1)
        x, by_key = torch.randn(2, 3, *size), {}
        torch.manual_seed(0)
        state = {}
        for operation in space.operations:
            cell = DenseCell((-1,), (operation,))
            module = DensePredictionCell(3, 4, cell).eval()
            shapes = tuple(map(str, module.state_dict()))
            module.load_state_dict(state.setdefault(shapes, module.state_dict()))
            by_key.setdefault(cell.key(size), []).append(module(x))
        assert len(by_key) == space.different_operations(size) < 81
        for first, *others in by_key.values():
            for other in others:
                torch.testing.assert_close(other, first)


class TestPooling:
    X = torch.tensor([[[[float(r**3 + c**2) for c in range(7)] for r in range(5)]]])

    def values(self, pooling, grid=(2, 4)):
        module = PyramidPooling(1, 1, grid, pooling, norm_cfg=None, act_cfg=None)
        module.conv.conv.weight.data.fill_(1)
        module.conv.conv.bias.data.zero_()
        y = module(self.X)[0, 0]
        return [float(y[place]) for place in ((0, 0), (0, 6), (2, 3), (4, 0), (4, 6))]

    def test_grid(self):
        pooled = PyramidPooling(1, 1, (2, 4), 'grid').pool(self.X, (5, 7))
        expected = [[3.5, 7.66667, 19.66667, 33.5], [33.5, 37.66667, 49.66667, 63.5]]
        torch.testing.assert_close(pooled[0, 0], torch.tensor(expected), rtol=1e-5, atol=1e-5)
        assert self.values('grid') == pytest.approx([3.5, 33.5, 28.66667, 33.5, 63.5], rel=1e-6)

    def test_sliding(self):
        assert PyramidPooling(1, 1, (2, 4), 'sliding').pool(self.X, (5, 7)).shape[2:] == (3, 6)
        assert self.values('sliding') == pytest.approx([3.5, 33.5, 21.5, 33.5, 63.5], rel=1e-6)

    @pytest.mark.parametrize(
        ('size', 'kernels'),
        [(65, (65, 33, 17, 9)), (33, (33, 17, 9, 5)), (32, (32, 16, 8, 4)), (17, (17, 9, 5, 3))],
    )
    def test_sliding_windows(self, size, kernels):
        for grid, kernel in zip((1, 2, 4, 8), kernels, strict=True):
            module = PyramidPooling(1, 1, (grid, grid), 'sliding')
            pooled = module.pool(torch.zeros(1, 1, size, size), (size, size))
            assert pooled.shape[2:] == (size - kernel + 1, size - kernel + 1)

    @pytest.mark.parametrize('pooling', ['grid', 'sliding'])
    def test_one_part_is_the_mean_everywhere(self, pooling):
        assert self.values(pooling, (1, 1)) == pytest.approx([float(self.X.mean())] * 5)

    @pytest.mark.parametrize('pooling', ['grid', 'sliding'])
    def test_one_value_of_each_channel_cannot_train(self, pooling):
        pool = [{'input': -1, 'op': 'pyramid_pooling', 'grid_size': [1, 1]}]
        module = DensePredictionCell(3, 4, pool, pooling=pooling)
        with pytest.raises(InputError, match=r'pyramid pooling leaves one value .* batch of 2'):
            module(torch.randn(1, 3, 5, 5))
        assert module(torch.randn(2, 3, 5, 5)).shape == (2, 4, 5, 5)
        assert module.eval()(torch.randn(1, 3, 5, 5)).shape == (1, 4, 5, 5)
        with pytest.raises(InputError, match='image pooling leaves one value'):
            ContextModule(3, 4, (1,)).train()(torch.randn(1, 3, 5, 5))


class TestCosts:
    """Of the specification's table: convolutions only, without biases."""

    @pytest.mark.parametrize(
        ('in_channels', 'channels', 'size', 'madds', 'weights', 'projected'),
        [
            (320, 256, (65, 129), 2_986_401_600, 356_160, False),
            (2048, 256, (65, 129), 6_826_060_800, 814_080, False),
            (320, 256, (32, 32), 700_252_160, 683_840, True),
            (320, 128, (32, 32), 200_605_696, 195_904, True),
            (2048, 256, (32, 32), 1_169_162_240, 1_141_760, True),
            (2048, 256, (27, 35), 1_078_963_200, 1_141_760, True),
        ],
    )
    def test_found_cell(self, in_channels, channels, size, madds, weights, projected):
        cost = self.cost(DensePredictionCell(in_channels, channels, FOUND), size, projected)
        assert cost == (madds, weights)

    @pytest.mark.parametrize(
        ('in_channels', 'madds', 'weights'),
        [(320, 2_820_125_120, 418_240), (2048, 18_048_800_768, 2_676_736)],
    )
    def test_separable_aspp(self, in_channels, madds, weights):
        module = ContextModule(in_channels, 256, (1, 6, 12, 18), separable=True)
        assert self.cost(module, (65, 129), projected=False) == (madds, weights)

    @pytest.mark.parametrize(('in_channels', 'norms'), [(320, 5248), (2048, 8704)])
    def test_normalisations(self, in_channels, norms):
        module = DensePredictionCell(in_channels, 256, FOUND)
        parameters = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        assert sum(p.numel() for m in parameters for p in m.parameters()) == norms + 512

    def test_mean_of_a_uniform_cell(self):
        """Of 320 channels; a branch reads the features with probability 1 / (i + 1)."""
        size, total = (65, 129), 0.0
        for read, index in ((0, 0), *((read, i) for i in range(1, 5) for read in (0, 1))):
            share = (1 / (index + 1)) if read == 0 else index / (index + 1)
            total += share * self.mean_of_operations(320 if read == 0 else 256, size)
        assert total == pytest.approx(2_542_633_048.5, abs=0.05)

    def mean_of_operations(self, in_channels, size):
        operations = CellSpace().operations
        costs = {}
        for op in operations:
            kind = (op.op, op.kernel, op.grid_size)  # a rate costs nothing
            if kind not in costs:
                module = DensePredictionCell(in_channels, 256, DenseCell((-1,), (op,)))
                costs[kind] = self.cost(module, size, projected=False)[0]
        return sum(costs[op.op, op.kernel, op.grid_size] for op in operations) / len(operations)

    @staticmethod
    def cost(module, size, projected):
        if not projected:
            module.projection = nn.Identity()
        channels = next(m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d))
        cost = count_madds(module, torch.empty(1, channels, *size, device='meta'))
        weights = sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))
        return cost.madds, weights


class TestContextOfAnEncoder:
    @pytest.mark.parametrize('name', ENCODERS)
    def test_every_encoder_takes_a_cell(self, name):
        cfg = {**ENCODERS[name], 'context': {'type': 'DensePredictionCell', 'cell': MIXED}}
        encoder = build_encoder(cfg)
        layer = encoder.build_layer(encoder.num_layers - 1, dropout=0.25)
        assert isinstance(layer, DensePredictionCell)
        assert layer.dropout.p == 0.25
        assert encoder.last_norm(layer) is layer.projection.norm
        assert encoder.last_norm(layer).num_features == encoder.context_channels == 8

    @pytest.mark.parametrize('name', ENCODERS)
    def test_config_holds_the_branches(self, name, tmp_path):
        path = tmp_path / 'cell.json'
        DenseCell.from_branches(MIXED).save(path)
        context = {'type': 'DensePredictionCell', 'cell': str(path), 'pooling': 'sliding'}
        cfg = build_encoder({**ENCODERS[name], 'context': context}).to_config()
        path.unlink()
        assert cfg['context'] == {**context, 'cell': MIXED}
        assert build_encoder(json.loads(json.dumps(cfg))).to_config() == cfg

    @pytest.mark.parametrize('name', ENCODERS)
    def test_the_usual_module_needs_no_config(self, name):
        usual = build_encoder(ENCODERS[name])
        assert 'context' not in usual.to_config()
        rates = [1] if name != 'resnet' else [1, 6, 12, 18]
        stated = {'type': 'ContextModule', 'dilations': tuple(rates)}
        again = build_encoder({**ENCODERS[name], 'context': stated})
        assert again.to_config() == usual.to_config()
        # The module that was built before contexts could be stated.
        layer = usual.build_layer(usual.num_layers - 1)
        assert isinstance(layer, ContextModule)
        assert [conv.conv.dilation[0] for conv in layer.branches] == rates

    def test_other_arguments_of_the_usual_module(self):
        encoder = build_encoder({**MOBILENET, 'context': {'dilations': [1, 2]}})
        layer = encoder.build_layer(encoder.num_layers - 1)
        assert [conv.conv.dilation for conv in layer.branches] == [(1, 1), (2, 2)]
        assert encoder.to_config()['context'] == {'type': 'ContextModule', 'dilations': [1, 2]}

    def test_channels_are_stated_in_one_place(self):
        context = {'type': 'DensePredictionCell', 'cell': MIXED, 'channels': 12}
        cfg = {'type': 'MobileNetV2Encoder', 'context': context}
        encoder = build_encoder(cfg)
        assert encoder.context_channels == 12
        assert encoder.build_layer(17)(torch.randn(2, 320, 3, 3)).shape[1] == 12
        assert encoder.to_config()['context_channels'] == 12
        with pytest.raises(InputError, match=r'context_channels=128 and context.channels=12'):
            build_encoder({**cfg, 'context_channels': 128})

    @pytest.mark.parametrize(
        ('context', 'message'),
        [
            ({'type': 'subprocess.Popen'}, 'context of MobileNetV2Encoder: type .*Popen'),
            ({'type': 'FCNHead'}, "expected one of .*'DensePredictionCell'"),
            ({'type': 'DensePredictionCell'}, 'expected cell=FILE'),
            ({'type': 'DensePredictionCell', 'cell': []}, '1 to 16 branches'),
            (
                {'type': 'DensePredictionCell', 'cell': MIXED, 'dropout': 0.1},
                'dropout must not be stated',
            ),
            (
                {'type': 'DensePredictionCell', 'cell': MIXED, 'in_channels': 3},
                'in_channels must not be stated',
            ),
            ({'type': 'DensePredictionCell', 'cell': MIXED, 'rates': 3}, 'does not fit'),
            ({'type': 'DensePredictionCell', 'cell': MIXED, 'pooling': 'max'}, "pooling 'max'"),
            ({'type': 'DensePredictionCell', 'cell': MIXED, 'channels': 0}, 'context_channels'),
            ({'dilations': 6}, 'dilations 6'),
            ({'dilations': [0]}, 'rate of ContextModule 0'),
            ('DensePredictionCell', r'expected dict\(type='),
        ],
    )
    def test_refuses_other_contexts(self, context, message):
        cfg = {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context': context}
        with pytest.raises(InputError, match=message):
            build_encoder(cfg).build_layer(17)

    def test_names_a_file_that_is_not_there(self):
        context = {'type': 'DensePredictionCell', 'cell': 'nowhere.json'}
        with pytest.raises(MissingFileError, match=r'nowhere.json .* no such file'):
            build_encoder({**MOBILENET, 'context': context})


class TestNetworks:
    def test_supernet_mixes_cells_one_by_one(self, toys):
        supernet = toys.supernet(TASKS, MIXED_ENCODER)
        assert not wide.fits(supernet.layers[-1])
        supernet(torch.rand(2, 3, 64, 64))['edge'][1].sum().backward()
        assert supernet.export_architecture().encoder['context']['cell'] == MIXED

    @pytest.mark.parametrize('kind', ['CrossStitchNetwork', 'NDDRCNN', 'MTAN'])
    def test_exchange_networks(self, kind):
        cfg = {'type': kind, 'tasks': TASKS, 'encoder': MIXED_ENCODER}
        network = MODELS.build(cfg)
        features = network(torch.rand(2, 3, 64, 64))
        assert [features[task][1].shape for task in TASKS] == [(2, 8, 4, 4)] * 2

    def test_a_tree_of_another_cell_is_refused(self):
        tree = BranchedArchitecture.shared(TASKS, build_encoder(MIXED_ENCODER).to_config(), 18)
        assert BranchedNetwork(tree).encoder.to_config() == tree.encoder
        with pytest.raises(InputError, match='the config asks for'):
            BranchedNetwork(tree, encoder=MOBILENET)

    def test_plain_encoder_decoder(self):
        tree = BranchedArchitecture.shared(['semseg'], build_encoder(MIXED_ENCODER).to_config(), 18)
        cfg = dict(
            type='mmseg.EncoderDecoder',
            backbone=dict(
                type='mmbmtas.BranchedNetwork', architecture=tree.to_dict(), task='semseg'
            ),
            decode_head=dict(
                type='mmseg.FCNHead',
                in_channels=8,
                in_index=1,
                channels=4,
                num_convs=1,
                concat_input=False,
                num_classes=3,
                norm_cfg=dict(type='BN'),
                loss_decode=dict(type='mmseg.CrossEntropyLoss'),
            ),
        )
        network = MMSEG_MODELS.build(cfg).eval()
        assert network(torch.rand(1, 3, 64, 64)).shape == (1, 3, 4, 4)
