"""The supernet of paths: its space's numbers, collapsed weights, warm-up means (bar M5)."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from mmbmtas.cost import count_madds
from mmbmtas.encoders import CollapsedInvertedResidual, Encoder, MobileNetV3PathEncoder
from mmbmtas.encoders.candidates import SeparateChoices
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.paths import PathSupernet
from mmbmtas.structures import BranchedArchitecture, is_zero

SMALL = {
    'type': 'MobileNetV3PathEncoder',
    'widen_factor': 0.5,
    'kernels': [3, 5],
    'expansions': [1, 2, 6],
    'per_block': 2,
    'context_channels': 16,
}


def conv_params(module):
    """Parameters of convolutions, of squeeze layers too, without normalisations."""
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return sum(p.numel() for conv in convs for p in conv.parameters())


def images(size=(64, 64), count=2, channels=3, seed=0):
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def supernet(encoder=SMALL, domains=('digits', 'faces'), **options):
    torch.manual_seed(0)
    net = PathSupernet(domains, encoder, **options)
    net.init_weights()
    return net


class TestSpace:
    """Numbers of section 4, computed by independent references."""

    @pytest.fixture(scope='class')
    def encoder(self):
        return MobileNetV3PathEncoder()

    def test_counts(self, encoder):
        counts = [len(encoder.candidates(index)) for index in range(encoder.num_searched)]
        assert counts == [36, 37, 37, 37] * 5
        for index, count in enumerate(counts):
            zeros = [is_zero(candidate) for candidate in encoder.candidates(index)]
            assert sum(zeros) == count - 36

    def test_madds_of_whole_paths(self, encoder):
        for side, largest, smallest in ((64, 47_262_336, 1_313_088), (72, 68_876_112, 1_889_280)):
            costs = [[c.madds for c in layer] for layer in encoder.measure_candidates((side, side))]
            assert sum(map(max, costs)) == largest
            assert sum(map(min, costs)) == smallest

    def test_parameters(self, encoder):
        with torch.device('meta'):
            largest = [encoder.build_layer(index) for index in range(4)]
            collapsed = [encoder.build_collapsed(index) for index in range(20)]
        assert sum(map(conv_params, collapsed)) == 5_687_048
        # In each layer of a block but the first the candidates have the same sizes.
        assert conv_params(largest[1]) == conv_params(largest[2]) == conv_params(largest[3])
        apart = whole = 0
        for index in range(20):
            norms = [
                2 * (2 * encoder.blocks[index]['in_channels'] * c['expansion']
                     + encoder.blocks[index]['out_channels'])
                for c in encoder.candidates(index)
                if not is_zero(c)
            ]  # fmt: skip
            costs = encoder.measure_candidates((64, 64))[index]
            params = [c.params - n for c, n in zip(costs, norms, strict=False)]
            apart += sum(params)
            whole += max(params)
        assert apart == 69_679_608
        assert whole == 5_376_968

    @pytest.mark.parametrize(
        ('candidate', 'madds', 'params'),
        [
            ({'kernel': 3, 'expansion': 1, 'squeeze': False}, 397_312, 784),
            ({'kernel': 3, 'expansion': 6, 'squeeze': True}, 2_388_480, 9_432),
            ({'kernel': 7, 'expansion': 6, 'squeeze': True}, 3_371_520, 13_272),
        ],
    )
    def test_first_layer(self, encoder, candidate, madds, params):
        block = encoder.build_candidate(0, encoder.candidates(0).index(candidate))
        cost = count_madds(block, torch.empty(1, 16, 32, 32))
        assert (cost.madds, conv_params(block)) == (madds, params)
        assert block(torch.zeros(1, 16, 32, 32)).shape == (1, 24, 16, 16)

    def test_stated_costs_are_measured_ones(self):
        encoder = MobileNetV3PathEncoder(
            kernels=[3, 7], expansions=[1, 4], per_block=1, output_stride=16
        )
        measured = Encoder.measure_candidates(encoder, (45, 61))
        assert encoder.measure_candidates((45, 61)) == measured

    def test_ends(self, encoder):
        assert encoder.stem_channels == 16
        assert encoder.low_level_index == 3
        assert encoder.low_level_channels == 24
        assert encoder.context_channels == 960
        with torch.device('meta'):
            assert conv_params(encoder.build_layer(20)) == 160 * 960
            assert conv_params(encoder.build_stem()) == 3 * 16 * 9

    @pytest.mark.parametrize(('stride', 'side'), [(32, 2), (16, 4), (8, 8)])
    def test_output_stride(self, stride, side):
        net = supernet(SMALL | {'output_stride': stride})
        low, context = net(images(), 'faces')
        assert low.shape == (2, 16, 16, 16)
        assert context.shape == (2, 16, side, side)

    def test_a_dense_context(self):
        context = {'type': 'ContextModule', 'dilations': [1], 'channels': 8}
        encoder = {k: v for k, v in SMALL.items() if k != 'context_channels'}
        net = supernet({**encoder, 'context': context, 'output_stride': 16})
        assert net(images(), 'faces')[1].shape == (2, 8, 4, 4)
        assert net.encoder.to_config()['context']['type'] == 'ContextModule'

    def test_config_comes_back(self):
        encoder = MobileNetV3PathEncoder(
            widen_factor=0.5, kernels=[7, 3], expansions=[2], squeezes=[True], per_block=3
        )
        config = encoder.to_config()
        again = MobileNetV3PathEncoder(**{k: v for k, v in config.items() if k != 'type'})
        assert again.to_config() == config
        assert config['kernels'] == [3, 7]

    def test_serves_other_networks_by_its_largest_candidates(self):
        tree = BranchedArchitecture.shared(['a', 'b'], SMALL, 11)
        network = BranchedNetwork(tree)
        block = network.layers[1][0]
        assert block.depthwise_conv.conv.kernel_size == (5, 5)
        assert block.with_se
        assert network(images())['b'][1].shape == (2, 16, 2, 2)

    @pytest.mark.parametrize(
        ('option', 'value'),
        [
            ('kernels', [3, 4]),
            ('kernels', []),
            ('kernels', 3),
            ('kernels', [3, 3]),
            ('expansions', [0]),
            ('expansions', [1.5]),
            ('squeezes', ['yes']),
            ('squeezes', True),
            ('per_block', 0),
            ('output_stride', 4),
            ('widen_factor', 0),
        ],
    )
    def test_what_means_nothing_is_refused(self, option, value):
        with pytest.raises(InputError, match=f'{option} of MobileNetV3PathEncoder'):
            MobileNetV3PathEncoder(**{option: value})


def load_sliced(block, collapsed, expansion, kernel, squeeze):
    """Fill a stand-alone block with the first channels of a collapsed one's weights."""
    mid = block.expand_conv.conv.out_channels
    state = {
        'expand_conv.conv.weight': collapsed.expand.weight[:mid],
        'depthwise_conv.conv.weight': collapsed.depthwise[str(kernel)].weight[:mid],
        'linear_conv.conv.weight': collapsed.project.weight[:, :mid],
    }
    norms = {
        'expand_conv.bn': (collapsed.expand_norm, mid),
        'depthwise_conv.bn': (collapsed.depthwise_norm, mid),
        'linear_conv.bn': (collapsed.project_norm, None),
    }
    for name, (norm, width) in norms.items():
        state[f'{name}.weight'] = norm.weight[:width]
        state[f'{name}.bias'] = norm.bias[:width]
    if squeeze:
        squeezed = block.se.conv1.conv.out_channels
        first, second = collapsed.squeeze.conv1.conv, collapsed.squeeze.conv2.conv
        state['se.conv1.conv.weight'] = first.weight[:squeezed, :mid]
        state['se.conv1.conv.bias'] = first.bias[:squeezed]
        state['se.conv2.conv.weight'] = second.weight[:mid, :squeezed]
        state['se.conv2.conv.bias'] = second.bias[:mid]
    missing = block.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all('running' in key or 'tracked' in key for key in missing.missing_keys)
    assert expansion * block.expand_conv.conv.in_channels == mid


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
    return module


class TestCollapsed:
    @pytest.fixture(scope='class')
    def encoder(self):
        return MobileNetV3PathEncoder(
            widen_factor=0.5, kernels=[3, 5], expansions=[1, 2, 6], per_block=2
        )

    @pytest.mark.parametrize('index', [0, 1, 5, 8])
    def test_candidates_are_blocks_with_sliced_weights(self, encoder, index):
        collapsed = randomised(encoder.build_collapsed(index), index)
        x = images((9, 7), channels=encoder.blocks[index]['in_channels'])
        for position, candidate in enumerate(encoder.candidates(index)):
            if is_zero(candidate):
                assert collapsed(x, position) is x
                continue
            block = encoder.build_candidate(index, position)
            load_sliced(block, collapsed, **candidate)
            torch.testing.assert_close(
                collapsed(x, position), block.train()(x), rtol=1e-5, atol=1e-5
            )

    def test_gradients_reach_the_slice_alone(self, encoder):
        collapsed = encoder.build_collapsed(1)
        position = encoder.candidates(1).index({'kernel': 3, 'expansion': 2, 'squeeze': False})
        collapsed(images((8, 8), channels=16), position).square().sum().backward()
        grad = collapsed.expand.weight.grad.abs().sum(dim=(1, 2, 3))
        assert (grad[:32] > 0).all()
        assert (grad[32:] == 0).all()
        assert collapsed.depthwise['5'].weight.grad is None
        assert all(p.grad is None for p in collapsed.squeeze.parameters())

    def test_expansion_1_keeps_its_convolution(self, encoder):
        position = encoder.candidates(1).index({'kernel': 3, 'expansion': 1, 'squeeze': False})
        block = encoder.build_candidate(1, position)
        assert block.expand_conv.conv.weight.shape == (16, 16, 1, 1)
        collapsed = encoder.build_collapsed(1)
        collapsed(images((8, 8), channels=16), position).sum().backward()
        assert collapsed.expand.weight.grad is not None

    def test_smaller_than_separate_ones(self, encoder):
        net = supernet(SMALL)
        separate = supernet(SMALL, sharing='separate')
        assert conv_params(net) < conv_params(separate) / 3


def mean_of(choices, candidates, chosen, averaged):
    """Average the outputs of the candidates that agree with one in all but some decisions."""
    settled = {k: v for k, v in candidates[chosen].items() if k not in averaged}
    return [
        position
        for position, c in enumerate(candidates)
        if not is_zero(c) and all(c[key] == value for key, value in settled.items())
    ]


class TestWarmUp:
    candidates = (
        *(
            {'kernel': kernel, 'expansion': expansion, 'squeeze': squeeze}
            for kernel in (3, 5, 7)
            for expansion in (1, 6)
            for squeeze in (False, True)
        ),
        {'zero': True},
    )

    @pytest.fixture
    def separate(self):
        torch.manual_seed(0)
        modules = [nn.Conv2d(4, 4, 1) for _ in self.candidates[:-1]] + [nn.Identity()]
        return SeparateChoices(self.candidates, modules, ('expansion',))

    def average(self, choices, x, candidate, averaged):
        share, settled = choices.decisions.settled(candidate, averaged)
        output = choices.run(x, settled)
        return share * x + (1 - share) * output

    @pytest.mark.parametrize('averaged', ['kernel', 'squeeze', 'kernel squeeze'], ids=str)
    def test_the_mean_of_the_candidates_outputs(self, separate, averaged):
        averaged = {*averaged.split()}
        x = images((5, 5), channels=4)
        members = mean_of(separate, self.candidates, 2, averaged)
        outputs = torch.stack([separate.candidates[member](x) for member in members])
        torch.testing.assert_close(self.average(separate, x, 2, averaged), outputs.mean(dim=0))

    def test_expansions_take_the_largest(self, separate):
        x = images((5, 5), channels=4)
        chosen = self.candidates.index({'kernel': 5, 'expansion': 1, 'squeeze': True})
        largest = self.candidates.index({'kernel': 5, 'expansion': 6, 'squeeze': True})
        torch.testing.assert_close(
            self.average(separate, x, chosen, {'expansion'}), separate(x, largest)
        )

    def test_skipping_averaged_is_half_of_the_block(self, separate):
        x = images((5, 5), channels=4)
        found = self.average(separate, x, 3, {'zero'})
        torch.testing.assert_close(found, (x + separate(x, 3)) / 2)

    def test_a_zero_chose_nothing_else(self, separate):
        x = images((5, 5), channels=4)
        found = self.average(separate, x, 12, {'zero'})
        widest = [i for i, c in enumerate(self.candidates[:-1]) if c['expansion'] == 6]
        outputs = torch.stack([separate.candidates[i](x) for i in widest])
        torch.testing.assert_close(found, (x + outputs.mean(dim=0)) / 2)

    def test_collapsed_kernels_are_averaged_where_they_differ(self):
        """A mean of convolutions is the convolution by the mean kernel, brought to one size."""
        encoder = MobileNetV3PathEncoder(
            widen_factor=0.5, kernels=[3, 5], expansions=[6], squeezes=[False], per_block=2
        )
        collapsed = randomised(encoder.build_collapsed(1))
        mean = copy.deepcopy(collapsed)
        small, large = (collapsed.depthwise[k].weight for k in ('3', '5'))
        with torch.no_grad():
            mean.depthwise['5'].weight.copy_((F.pad(small, (1, 1, 1, 1)) + large) / 2)
        x = images((8, 8), channels=16)
        torch.testing.assert_close(
            self.average(collapsed, x, 0, {'kernel'}), mean(x, 1), rtol=1e-4, atol=1e-4
        )

    def test_collapsed_squeezing_is_half_scaled(self):
        encoder = MobileNetV3PathEncoder(widen_factor=0.5, kernels=[3], expansions=[2], per_block=2)
        collapsed = randomised(encoder.build_collapsed(1))
        x = images((8, 8), channels=16)
        inner = collapsed._squeeze(x.repeat(1, 2, 1, 1), (True,))
        half = collapsed._squeeze(x.repeat(1, 2, 1, 1), (False, True))
        torch.testing.assert_close(half, (x.repeat(1, 2, 1, 1) + inner) / 2)

    def test_probabilities_are_those_of_each_decision(self, separate):
        torch.manual_seed(0)
        assert separate.decisions.draw_averaged(0) == frozenset()
        everything = {'kernel', 'expansion', 'squeeze', 'zero'}
        assert separate.decisions.draw_averaged(1) == everything
        draws = [separate.decisions.draw_averaged(0.3) for _ in range(2000)]
        for decision in everything:
            share = sum(decision in draw for draw in draws) / 2000
            assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5

    def test_drawn_alike_from_a_seed(self):
        net = supernet()
        path = (0,) * 10
        outputs = []
        for _ in range(2):
            torch.manual_seed(3)
            outputs.append(net(images(), 'faces', path, 0.5)[1])
        assert torch.equal(*outputs)
        assert not torch.equal(outputs[0], net(images(), 'faces', path)[1])


class TestSupernet:
    @pytest.mark.parametrize('sharing', ['collapsed', 'separate'])
    def test_paths_through_it(self, sharing):
        net = supernet(sharing=sharing)
        path = (0, 12, 3, 0, 5, 6, 11, 12, 2, 1)
        low, context = net(images(), 'digits', path)
        assert low.shape == (2, 16, 16, 16)
        assert context.shape == (2, 16, 2, 2)
        assert not torch.equal(context, net(images(), 'digits', (0,) * 10)[1])

    @pytest.mark.parametrize('sharing', ['collapsed', 'separate'])
    def test_activations_computed_again_change_nothing(self, sharing):
        grads = []
        for with_cp in (False, True):
            net = supernet(sharing=sharing, with_cp=with_cp)
            torch.manual_seed(1)
            net(images(), 'digits', (0,) * 10, 0.5)[1].square().sum().backward()
            grads.append([p.grad for p in net.parameters()])
        for one, other in zip(*grads, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other)

    @pytest.mark.parametrize('sharing', ['collapsed', 'separate'])
    def test_the_batch_has_the_statistics(self, sharing):
        net = supernet(sharing=sharing)
        assert not any('running' in name for name in net.state_dict())
        path = (0,) * 10
        expected = net.train()(images(), 'digits', path)[1]
        torch.testing.assert_close(
            net.eval()(images(), 'digits', path)[1], expected, rtol=1e-4, atol=1e-5
        )

    def test_without_a_path_the_most_probable_one(self):
        net = supernet(policy={'type': 'FlatPolicy'})
        with torch.no_grad():
            net.policy.logits[:, 1, 2] = 5
        assert net.path('faces') == (2,) * 10
        expected = net(images(), 'faces', (2,) * 10)[1]
        assert torch.equal(net(images(), 'faces')[1], expected)
        assert net.export_architecture().routing == {'digits': (0,) * 10, 'faces': (2,) * 10}

    def test_parameters_are_weights_or_the_policys(self):
        net = supernet()
        weights, policy = net.weights(), net.architecture_parameters()
        assert len(weights) + len(policy) == len([*net.parameters()])
        assert {*map(id, policy)} == {*map(id, net.policy.parameters())}
        assert net.routing_probs().shape == (10, 2, 13)

    def test_state_comes_back(self):
        net, other = supernet(), randomised(supernet())
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(images(), 'faces')[1], other(images(), 'faces')[1])

    @pytest.mark.parametrize(
        'options',
        [
            {'domains': ('digits', 'birds')},
            {'encoder': SMALL | {'kernels': [3]}},
            {'sharing': 'separate'},
        ],
        ids=str,
    )
    def test_another_supernets_state_is_refused(self, options):
        with pytest.raises(InputError, match='the checkpoint holds a supernet'):
            supernet(**options).load_state_dict(supernet().state_dict(), strict=False)

    def test_a_trees_state_is_refused(self, toys):
        with pytest.raises(InputError, match='not of a search of paths'):
            supernet().load_state_dict(toys.supernet(['a', 'b']).state_dict(), strict=False)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'sharing': 'all'}, 'sharing'),
            ({'domains': []}, 'domains'),
            ({'domains': 'digits'}, 'domains'),
            ({'encoder': {'type': 'ResNetEncoder', 'depth': 18}}, "sharing='separate'"),
            ({'policy': {'type': 'NoPolicy'}}, 'policy'),
            ({'init_cfg': {'type': 'Pretrained', 'checkpoint': 'a.pth'}}, 'init_cfg'),
        ],
    )
    def test_what_does_not_fit(self, options, message):
        with pytest.raises(InputError, match=message):
            supernet(**options)

    def test_weights_of_other_encoders_are_loaded(self, toys, tmp_path):
        source = torchvision.models.mobilenet_v2(width_mult=0.25)
        torch.save(source.state_dict(), tmp_path / 'a.pth')
        init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'a.pth')}
        net = supernet(toys.MOBILENET, sharing='separate', init_cfg=init_cfg)
        assert torch.equal(net.stem.conv.weight, source.features[0][0].weight)

    def test_other_encoders_have_one_candidate_a_layer(self, toys):
        net = supernet(toys.MOBILENET, sharing='separate')
        assert [len(layer) for layer in net.candidates] == [1] * 17
        assert net(images(), 'faces')[1].shape == (2, 8, 4, 4)

    def test_the_collapsed_block_is_public(self):
        assert isinstance(supernet().layers[0], CollapsedInvertedResidual)
