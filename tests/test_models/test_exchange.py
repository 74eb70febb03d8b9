"""Cross-Stitch, NDDR-CNN and MTAN: what they compute, whom their parts serve, where they start."""

import itertools
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmbmtas.models.backbones import (
    MTAN,
    NDDRCNN,
    BranchedNetwork,
    CrossStitchNetwork,
    CrossStitchUnit,
    NDDRLayer,
)

TASKS = ('semseg', 'normals', 'edge')
SEPARATE = {'alpha': 1.0, 'beta': 0.0}
# Normalisation and activation that change nothing in evaluation.
NEUTRAL = {'norm_cfg': {'type': 'BN', 'eps': 0.0}, 'act_cfg': None}
METHODS = {'CrossStitchNetwork': CrossStitchNetwork, 'NDDRCNN': NDDRCNN, 'MTAN': MTAN}
EXCHANGES = ('CrossStitchNetwork', 'NDDRCNN')


@pytest.fixture(params=['MOBILENET', 'RESNET'])
def encoder(request, toys):
    return getattr(toys, request.param)


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def log(caplog):
    """What goes to mmengine's current logger."""
    logger = MMLogger.get_instance('test_exchange')
    MMLogger._instance_dict.move_to_end('test_exchange')
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def separate_options(method):
    return SEPARATE | (NEUTRAL if method == 'NDDRCNN' else {})


class TestUnits:
    def features(self, channels=4):
        return [torch.randn(2, channels, 3, 5) for _ in TASKS]

    def test_cross_stitch_mixes_by_its_weights(self):
        unit = CrossStitchUnit(3, alpha=0.9, beta=0.05)
        torch.testing.assert_close(unit.weight.sum(dim=1), torch.ones(3))
        unit.weight.data = torch.randn(3, 3)
        features = self.features()
        for row, found in zip(unit.weight, unit(features), strict=True):
            expected = sum(w * feature for w, feature in zip(row, features, strict=True))
            torch.testing.assert_close(found, expected)

    def test_nddr_begins_with_multiples_of_the_identity(self):
        unit = NDDRLayer(3, 4, 0.7, 0.2, **NEUTRAL).eval()
        features = self.features()
        total = sum(features)
        for own, found in zip(features, unit(features), strict=True):
            torch.testing.assert_close(found, 0.5 * own + 0.2 * total)

    def test_nddr_normalises_and_activates(self):
        unit = NDDRLayer(3, 4, 1.0, 0.0, {'type': 'BN', 'momentum': 0.05}, {'type': 'ReLU6'})
        features = [100 * feature for feature in self.features()]
        for own, found in zip(features, unit(features), strict=True):
            normal = (own - own.mean((0, 2, 3), True)) / own.std((0, 2, 3), False, True)
            torch.testing.assert_close(found, normal.clamp(0, 6), rtol=1e-3, atol=1e-3)
        norms = [module for module in unit.modules() if isinstance(module, nn.BatchNorm2d)]
        assert [norm.momentum for norm in norms] == [0.05] * 3
        assert all(reduction.conv.bias is None for reduction in unit.reductions)

    def test_nddr_defaults(self, toys):
        encoder = {**toys.MOBILENET, 'norm_cfg': {'type': 'BN', 'eps': 0.1}}
        for unit in NDDRCNN(TASKS, encoder).units:
            for reduction in unit.reductions:
                assert (reduction.norm.momentum, reduction.norm.eps) == (0.05, 0.1)
                assert isinstance(reduction.activate, nn.ReLU)

    @pytest.mark.parametrize('method', EXCHANGES)
    def test_initial_weights(self, method, toys):
        network = METHODS[method](TASKS, toys.MOBILENET)
        other = METHODS[method](TASKS, toys.MOBILENET, alpha=0.6, beta=0.3)
        for one, alpha, beta in ((network, 0.9, 0.05), (other, 0.6, 0.3)):
            for unit in one.units:
                if method == 'NDDRCNN':
                    weight = torch.stack([r.conv.weight[:, :, 0, 0] for r in unit.reductions])
                    channels = weight.shape[1]
                    blocks = weight.unflatten(2, (3, channels)).transpose(1, 2)
                    weight = blocks.diagonal(dim1=2, dim2=3)
                    assert blocks.count_nonzero() == 9 * channels
                else:
                    weight = unit.weight[..., None]
                expected = torch.full((3, 3), beta).fill_diagonal_(alpha)[..., None]
                torch.testing.assert_close(weight, expected.expand_as(weight))


@pytest.mark.parametrize('method', EXCHANGES)
class TestExchangeNetworks:
    def test_units_stand_after_the_stem_and_every_stage(self, method, toys, encoder):
        network = METHODS[method](TASKS, encoder)
        shapes = []
        for unit in network.units:
            unit.register_forward_hook(
                lambda _, inputs, __: shapes.append(tuple(inputs[0][0].shape[1:]))
            )
        network.eval()(torch.zeros(1, 3, 64, 64))
        if encoder is toys.RESNET:  # basic blocks; stride 4 after the max-pool
            assert shapes == [(64, 16, 16), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 4, 4)]
        else:
            channels = [8, 8, 8, 8, 16, 24, 40, 80]
            sizes = [32, 32, 16, 8, 4, 4, 4, 4]
            assert shapes == [(c, s, s) for c, s in zip(channels, sizes, strict=True)]

    def test_without_exchange_it_is_separate_networks(self, method, toys, encoder, images):
        network = METHODS[method](TASKS, encoder, **separate_options(method)).eval()
        toys.randomise(network.encoders)
        features = network(images)
        for task in TASKS:
            for found, expected in zip(
                features[task], network.encoders[task](images)[task], strict=True
            ):
                torch.testing.assert_close(found, expected)
                assert expected.std() > 1e-4

    def test_features_are_exchanged(self, method, toys, images):
        """What decoders and later stages read of a task depends on the others' encoders."""
        network = METHODS[method](TASKS, toys.MOBILENET).eval().double()
        toys.randomise(network)
        before = network(images.double())
        norm = network.encoder.last_norm(network.encoders['edge'].layers[2][0])
        norm.bias.data += 1
        after = network(images.double())
        for task in TASKS:
            assert not torch.equal(before[task][0], after[task][0])
            assert not torch.equal(before[task][1], after[task][1])

    def test_the_low_level_features_are_the_units(self, method, toys, images):
        network = METHODS[method](TASKS, toys.MOBILENET).eval()
        given = []
        network.units[2].register_forward_hook(lambda *args: given.extend(args[2]))
        features = network(images)
        assert all(features[task][0] is one for task, one in zip(TASKS, given, strict=True))

    def test_everything_is_one_tasks_own(self, method, toys):
        network = METHODS[method](TASKS, toys.MOBILENET)
        parts = [*network.shared_by()]
        parameters = [p for module, _ in parts for p in module.parameters()]
        assert {*parameters} == {*network.parameters()}
        assert {count for _, count in parts} == {1}

    def test_it_says_that_single_networks_lack(self, method, toys, log):
        METHODS[method](TASKS, toys.MOBILENET).init_weights()
        assert 'without single-task networks (no single_checkpoints), from random' in log.text

    def test_one_task_is_refused(self, method, toys):
        with pytest.raises(ValueError, match=r"tasks \['edge'\]: expected 2 to 16 different"):
            METHODS[method](['edge'], toys.MOBILENET)


class TestMTAN:
    @pytest.fixture
    def network(self, toys, encoder):
        torch.manual_seed(0)
        options = {'separable': True, 'refine_last': False} if encoder is toys.MOBILENET else {}
        network = MTAN(TASKS, encoder, **options)
        network.init_weights()
        toys.randomise(network)
        return network

    def test_features_by_another_way(self, network, images):
        """Task by task, each stage run as one sequence, pooling by its factor."""
        network.eval()
        features = network(images)
        stages = network.encoder.stages
        for task in TASKS:
            x, picked, low_level = network.stem(images), None, None
            for index, stage in enumerate(stages):
                blocks = [network.layers[i] for i in stage]
                before = nn.Sequential(*blocks[:-1])(x)
                x = blocks[-1](before)
                u = before if len(blocks) > 1 else x
                if picked is not None:
                    factor = picked.shape[-1] // u.shape[-1]
                    u = torch.cat([u, nn.functional.max_pool2d(picked, factor)], dim=1)
                picked = network.masks[index][task](u) * x
                if network.encoder.low_level_index == stage[-1]:
                    low_level = picked
                if index < len(network.refinements):
                    picked = network.refinements[index](picked)
            torch.testing.assert_close(features[task][0], low_level)
            torch.testing.assert_close(features[task][1], network.contexts[task](picked))

    def test_masks_lie_between_0_and_1(self, network, images):
        masks = []
        for stage in network.masks:
            for mask in stage.values():
                mask.register_forward_hook(lambda *args: masks.append(args[2]))
        network(100 * images)
        assert len(masks) == 3 * len(network.encoder.stages)
        for mask in masks:
            assert mask.min() >= 0
            assert mask.max() <= 1
            assert mask.std() > 0.01

    def test_refinements_are_shared_and_masks_are_not(self, network, images):
        calls = []
        for refinement in network.refinements:
            refinement.register_forward_hook(lambda module, *_: calls.append(module))
        network(images)
        assert [*map(id, calls)] == [id(r) for r in network.refinements for _ in TASKS]
        own = [[*stage[task].parameters()] for stage in network.masks for task in TASKS]
        assert len({p for parameters in own for p in parameters}) == sum(map(len, own))

    def test_the_shared_encoder_runs_once(self, network, images):
        calls = []
        for module in (network.stem, *network.layers):
            module.register_forward_hook(lambda module, *_: calls.append(module))
        network(images)
        assert len(calls) == 1 + len(network.layers)

    def test_layers(self, network, encoder, toys):
        stages = len(network.encoder.stages)
        separable = encoder is toys.MOBILENET
        assert len(network.refinements) == stages - separable
        for index, stage in enumerate(network.masks):
            first, second = (m for m in stage['edge'] if isinstance(m, nn.Conv2d))
            assert first.in_channels == (1 + (index > 0)) * first.out_channels
            assert second.in_channels == second.out_channels == first.out_channels
        for refinement in network.refinements:
            kernels = [m.kernel_size for m in refinement.modules() if isinstance(m, nn.Conv2d)]
            assert kernels == ([(3, 3), (1, 1)] if separable else [(3, 3)])

    @pytest.mark.parametrize('size', [(50, 90), (33, 65), (16, 16)])
    def test_odd_sizes(self, network, size):
        features = network.eval()(torch.randn(2, 3, *size))
        assert features['edge'][0].shape[2:] == tuple(-(-n // 4) for n in size)
        assert features['edge'][1].shape[2:] == tuple(-(-n // 16) for n in size)

    def test_who_shares_what(self, network):
        counts = {p: count for module, count in network.shared_by() for p in module.parameters()}
        assert counts.keys() == {*network.parameters()}
        for name, parameter in network.named_parameters():
            own = name.startswith(('masks', 'contexts'))
            assert counts[parameter] == (1 if own else 3), name

    def test_one_task_will_do(self, toys, images):
        assert [*MTAN(['edge'], toys.MOBILENET)(images)] == ['edge']


class TestInAMultiTaskNetwork:
    @pytest.mark.parametrize(
        ('method', 'encoder'), [*itertools.product(METHODS, ['MOBILENET']), ('MTAN', 'RESNET')]
    )
    def test_gradients_reach_all_parameters(self, method, encoder, toys):
        model = toys.build(toys.exchange_config(method, TASKS, getattr(toys, encoder))).train()
        model.backbone.init_weights()
        images, samples = toys.batch(TASKS)
        total, _ = model.parse_losses(model.loss(images, samples))
        total.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            # A bias before a normalisation moves nothing.
            if not (name.endswith('bias') and ('masks' in name or 'refinements' in name)):
                assert parameter.grad.abs().sum() > 0, name

    def test_predictions(self, method, toys, images):
        model = toys.build(toys.exchange_config(method, TASKS)).eval()
        maps = model.encode_decode(images)
        assert {t: x.shape[1] for t, x in maps.items()} == {'semseg': 21, 'normals': 3, 'edge': 1}
        assert all(x.shape[2:] == (64, 64) for x in maps.values())
        assert {f'pred_{task}' for task in TASKS} <= {*model.predict(images)[0].keys()}

    def test_cost_of_the_whole(self, method, toys):
        model = toys.build(toys.exchange_config(method, TASKS, toys.RESNET))
        whole, parts = model.measure_network(), model.measure_cost()
        assert whole.params == sum(p.numel() for p in model.parameters())
        if method == 'CrossStitchNetwork':  # sums are no convolutions
            assert (whole.madds, whole.operations) == (
                parts.single().madds,
                parts.single().operations,
            )
            assert whole.params == parts.single().params + 9 * len(model.backbone.units)
        elif method == 'NDDRCNN':
            assert whole.madds > parts.single().madds
        else:
            assert whole.madds > parts.shared().madds

    def test_cost_of_the_whole_of_a_tree(self, toys):
        model = toys.build(toys.branched_config(TASKS, toys.RESNET))
        cost = model.measure_cost().tree(model.backbone.architecture)
        assert model.measure_network() == cost

    def test_a_checkpoint_comes_back(self, method, toys, images):
        one, other = (toys.build(toys.exchange_config(method, TASKS)).eval() for _ in range(2))
        toys.randomise(one)
        other.load_state_dict(one.state_dict())
        for task, expected in one.encode_decode(images).items():
            assert torch.equal(other.encode_decode(images)[task], expected)

    def test_another_order_of_tasks_is_refused(self, method, toys):
        one = METHODS[method](TASKS, toys.MOBILENET)
        other = METHODS[method](TASKS[::-1], toys.MOBILENET)
        with pytest.raises(ValueError, match=r"holds encoders of .*'edge', 'normals', 'semseg'"):
            one.load_state_dict(other.state_dict())

    def test_names_must_differ(self, method, toys):
        with pytest.raises(ValueError, match='to 16 different names'):
            METHODS[method](['edge', 'edge', 'depth'], toys.MOBILENET)

    def test_every_encoder_gets_the_pretrained_weights(self, method, toys, tmp_path, log):
        donor = BranchedNetwork(toys.random_tree(['edge']))
        toys.randomise(donor)
        weights = {
            f'{name}.{key}': value
            for name, (layer,) in zip(donor.encoder.layer_names[:-1], donor.layers, strict=False)
            for key, value in layer.state_dict().items()
        } | {f'conv1.{key}': value for key, value in donor.stem.state_dict().items()}
        torch.save(weights, tmp_path / 'imagenet.pth')
        init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'imagenet.pth')}
        network = METHODS[method](TASKS, toys.MOBILENET, init_cfg=init_cfg)
        network.init_weights()
        if method == 'MTAN':
            copies = [(network.stem, network.layers)]
        else:
            copies = [
                (network.encoders[task].stem, [layer for (layer,) in network.encoders[task].layers])
                for task in TASKS
            ]
            assert 'from ImageNet' in log.text
        for stem, layers in copies:
            assert torch.equal(stem.conv.weight, donor.stem.conv.weight)
            for (expected,), layer in zip(donor.layers[:-1], layers, strict=False):
                for key, value in expected.state_dict().items():
                    assert torch.equal(layer.state_dict()[key], value)
