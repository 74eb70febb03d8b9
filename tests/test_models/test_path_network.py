"""Networks of paths: what is shared, what runs how often, whose statistics (bar M6)."""

from collections import Counter

import pytest
import torch
import torchvision
from mmcv.cnn import ConvModule
from torch import nn

from mmbmtas.encoders import Encoder, build_encoder
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.paths import DomainBatchNorm2d, PathNetwork
from mmbmtas.paths.domain_norm import DomainSwitch
from mmbmtas.registry import TASK_UTILS
from mmbmtas.structures import BranchedArchitecture, PathArchitecture

DOMAINS = ('digits', 'faces', 'scenes')
ENCODER = {
    'type': 'MobileNetV3PathEncoder',
    'widen_factor': 0.5,
    'kernels': [3, 5],
    'expansions': [1, 2],
    'squeezes': [False],
    'per_block': 2,
    'context_channels': 16,
}
# Layers of a block have the candidates k3e1, k3e2, k5e1, k5e2, and the second one zero (4).
ROUTING = {
    'digits': (0, 0, 1, 4, 0, 0, 0, 0, 2, 4),
    'faces': (0, 1, 1, 4, 3, 0, 0, 1, 2, 0),
    'scenes': (2, 1, 1, 2, 3, 4, 0, 1, 2, 0),
}
TREE = {'a': (0, 0, 1), 'b': (0, 0, 2), 'c': (0, 1, 0), 'd': (0, 1, 0)}


@TASK_UTILS.register_module(force=True)
class CopiesEncoder(Encoder):
    """Layers that are alike, four candidates each, so that prefix trees can be paths."""

    layer_names = ('stage1.0', 'stage1.1', 'stage1.2', 'context')
    norm_cfg = {'type': 'BN'}  # noqa: RUF012
    stem_channels = low_level_channels = context_channels = 4
    low_level_index = 1

    def build_stem(self):
        return ConvModule(3, 4, 3, stride=4, padding=1, norm_cfg=self.norm_cfg)

    def build_layer(self, index, dropout=0.0):
        return ConvModule(4, 4, 3, padding=1, norm_cfg=self.norm_cfg)

    def candidates(self, index):
        return tuple({'copy': copy} for copy in range(4))

    def last_norm(self, layer):
        return layer.bn

    def translate(self, key):
        raise KeyError(key)

    def to_config(self):
        return {'type': 'CopiesEncoder'}


def paths(routing=ROUTING, encoder=ENCODER):
    built = build_encoder(encoder)
    candidates = [built.candidates(index) for index in range(built.num_searched)]
    return PathArchitecture.from_routing(
        tuple(routing), built.to_config(), routing, candidates=candidates
    )


def network(routing=ROUTING, space=ENCODER, **options):
    torch.manual_seed(0)
    built = PathNetwork(paths(routing, space), **options)
    built.init_weights()
    return built


def images(seed=0, count=2, size=(64, 64)):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def total(features):
    return sum((low.sum() + context.square().sum()) for low, context in features.values())


class TestNodes:
    def test_paths_that_pass_a_node_have_one_parameter(self):
        net = network()
        assert [sorted(map(int, nodes)) for nodes in net.layers] == [
            sorted({ROUTING[domain][layer] for domain in DOMAINS}) for layer in range(10)
        ]
        node = net.layers[2]['1']
        for domain in DOMAINS:
            net.zero_grad()
            total(net(images(), domain)).backward()
            assert node.expand_conv.conv.weight.grad.abs().sum() > 0

    def test_domains_off_a_node_give_it_no_gradient(self):
        net = network()
        for domain in DOMAINS:
            net.zero_grad()
            total(net(images(), domain)).backward()
            for layer, nodes in enumerate(net.layers):
                for candidate, node in nodes.items():
                    touched = [p.grad is not None for p in node.parameters()]
                    passes = ROUTING[domain][layer] == int(candidate)
                    assert all(touched) if passes else not any(touched)

    @pytest.mark.parametrize('statistics', ['domain', 'shared'])
    def test_parameters_are_the_union(self, statistics):
        net = network(norm_statistics=statistics)
        encoder = build_encoder(ENCODER)
        union = {(layer, c) for route in ROUTING.values() for layer, c in enumerate(route)}
        parts = [encoder.build_candidate(layer, c) for layer, c in union]
        parts += [encoder.build_stem(), encoder.build_layer(10)]
        expected = sum(p.numel() for part in parts for p in part.parameters())
        assert sum(p.numel() for p in net.parameters()) == expected

    def test_zero_passes_its_input_on(self):
        net = network()
        assert isinstance(net.layers[3]['4'], nn.Identity)

    def test_tasks_that_share_a_node_are_counted(self):
        net = network(domains={'digits': ['digits'], 'faces': ['age', 'mood'], 'scenes': ['depth']})
        assert net.tasks == ('digits', 'age', 'mood', 'depth')
        counts = dict([*net.shared_by()])
        assert counts[net.stem] == counts[net.context] == counts[net.layers[2]['1']] == 4
        assert counts[net.layers[0]['0']] == 3
        assert counts[net.layers[4]['3']] == 3
        assert counts[net.layers[0]['2']] == 1
        features = net(images(), 'faces')
        assert [*features] == ['age', 'mood']
        assert features['age'][1] is features['mood'][1]


class TestPrefixTrees:
    def pair(self):
        """A tree as a branched network and as paths, with the same weights."""
        tree = BranchedArchitecture.from_routing(
            tuple(TREE),
            {'type': 'CopiesEncoder'},
            {task: (*route, 0 if task in 'ab' else 1) for task, route in TREE.items()},
        )
        # As paths the last layer is one for all: let the tree have copies of it.
        torch.manual_seed(0)
        branched = BranchedNetwork(tree, dropout=0.0)
        branched.init_weights()
        net = network(TREE, {'type': 'CopiesEncoder'}, norm_statistics='shared')
        net.stem.load_state_dict(branched.stem.state_dict())
        for layer in range(3):
            for branch, group in zip(
                branched.layers[layer], branched.architecture.branches(layer), strict=True
            ):
                node = net.layers[layer][str(TREE[group[0]][layer])]
                node.load_state_dict(branch.state_dict())
        for branch in branched.layers[3]:
            branch.load_state_dict(net.context.state_dict())
        return branched, net

    @pytest.mark.parametrize('training', [True, False])
    def test_equals_the_branched_network(self, training):
        branched, net = self.pair()
        branched.train(training)
        net.train(training)
        expected, found = branched(images()), net(images())
        assert [*expected] == [*found]
        for task in TREE:
            assert torch.equal(expected[task][0], found[task][0])
            assert torch.equal(expected[task][1], found[task][1])

    def test_each_shared_prefix_runs_once(self):
        _, net = self.pair()
        calls = Counter()
        for name, module in net.named_modules():
            if isinstance(module, ConvModule):
                module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        net(images())
        assert calls == {
            'stem': 1,
            'layers.0.0': 1,
            'layers.1.0': 1,
            'layers.1.1': 1,
            'layers.2.0': 1,
            'layers.2.1': 1,
            'layers.2.2': 1,
            'context': 3,
        }

    def test_a_node_after_other_prefixes_runs_again(self):
        net = network(
            {'a': (0, 1, 2), 'b': (1, 1, 2)}, {'type': 'CopiesEncoder'}, norm_statistics='shared'
        )
        calls = Counter()
        net.layers[1]['1'].register_forward_hook(lambda *_: calls.update('n'))
        features = net(images())
        assert calls['n'] == 2
        assert not torch.equal(features['a'][1], features['b'][1])
        for domain in 'ab':
            alone = net.eval()(images(), domain)[domain]
            assert torch.equal(alone[1], net(images())[domain][1])


class TestStatistics:
    """Section 10: N(0, 1) and N(4, 2^2) in turn through one normalisation."""

    def run(self, statistics):
        encoder = {'type': 'CopiesEncoder'}
        net = network({'a': (0, 0, 0), 'b': (0, 0, 0)}, encoder, norm_statistics=statistics)
        generator = torch.Generator().manual_seed(0)
        data = {
            'a': torch.randn(32, 3, 32, 32, generator=generator),
            'b': torch.randn(32, 3, 32, 32, generator=generator) * 2 + 4,
        }
        for _ in range(50):
            for domain in data:
                with torch.no_grad():
                    net.train()(data[domain], domain)
        errors = {}
        with torch.no_grad():
            for domain, x in data.items():
                expected = net.train()(x, domain)[domain][1]
                found = net.eval()(x, domain)[domain][1]
                errors[domain] = ((found - expected).norm() / expected.norm()).item()
        return errors

    def test_by_domain_evaluation_is_training(self):
        assert max(self.run('domain').values()) < 0.05

    def test_shared_is_not(self):
        assert min(self.run('shared').values()) > 0.05

    def test_of_one_normalisation(self):
        """Mixed: mean 2, variance 2.5, and the first domain comes out at -1.265, 0.632."""
        switch = DomainSwitch()
        plain = nn.BatchNorm2d(1)
        norm = DomainBatchNorm2d(nn.BatchNorm2d(1), ['a', 'b'], switch)
        generator = torch.Generator().manual_seed(0)
        for _ in range(200):
            for domain, mean, std in (('a', 0, 1), ('b', 4, 2)):
                x = torch.randn(256, 1, 4, 4, generator=generator) * std + mean
                plain(x)
                with switch.at(domain):
                    norm(x)
        torch.testing.assert_close(
            norm.running_mean[:, 0], torch.tensor([0.0, 4.0]), atol=0.1, rtol=0
        )
        torch.testing.assert_close(
            norm.running_var[:, 0], torch.tensor([1.0, 4.0]), atol=0.2, rtol=0
        )
        assert abs(plain.running_mean.item() - 2) < 0.3
        x = torch.randn(4096, 1, 4, 4, generator=generator)
        with torch.no_grad(), switch.at('a'):
            found = norm.eval()(x)
        assert abs(found.mean()) < 0.1
        assert abs(found.std() - 1) < 0.1
        plain.running_mean.fill_(2)
        plain.running_var.fill_(2.5)
        mixed = plain.eval()(x)
        assert mixed.mean().item() == pytest.approx(-1.265, abs=0.01)
        assert mixed.std().item() == pytest.approx(0.632, abs=0.01)

    def test_all_has_scale_and_shift_of_its_own(self):
        net = network(norm_statistics='all')
        total(net(images(), 'faces')).backward()
        grad = net.stem.bn.weight.grad
        assert grad.shape == (3, 8)
        assert grad[1].abs().sum() > 0
        assert grad[0].abs().sum() == grad[2].abs().sum() == 0

    def test_a_batch_changes_the_statistics_of_its_domain_alone(self):
        net = network()
        before = {name: buffer.clone() for name, buffer in net.named_buffers()}
        net.train()(images(), 'faces')
        norms = {n: m for n, m in net.named_modules() if isinstance(m, DomainBatchNorm2d)}
        assert len(norms) > 10
        for name, norm in norms.items():
            for row, domain in enumerate(norm.domains):
                same = torch.equal(norm.running_var[row], before[f'{name}.running_var'][row])
                assert same == (domain != 'faces')

    def test_other_normalisations_are_refused(self):
        with pytest.raises(InputError, match=r'SyncBatchNorm.*norm_statistics'):
            network(encoder=ENCODER | {'norm_cfg': {'type': 'SyncBN'}})

    def test_checkpointing_in_the_backward_pass_keeps_statistics(self):
        plain, saving = network(), network(with_cp=True)
        for net in (plain, saving):
            for domain in DOMAINS:
                net.train()
                features = total(net(images(size=(32, 32)), domain))
                other = net(images(1, size=(32, 32)), 'digits')  # runs before the backward pass
                (features + total(other)).backward()
        for name, value in plain.state_dict().items():
            assert torch.equal(value, saving.state_dict()[name]), name
        for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)


class TestOneDomain:
    @pytest.mark.parametrize('statistics', ['domain', 'shared', 'all'])
    def test_a_domain_alone_computes_the_same(self, statistics, toys):
        net = network(norm_statistics=statistics)
        for step in range(3):
            for domain in DOMAINS:
                net.train()(images(step, size=(32, 32)), domain)
        net.eval()
        for domain in DOMAINS:
            alone = net.for_domain(domain)
            assert alone.tasks == (domain,)
            assert not any(isinstance(m, DomainBatchNorm2d) for m in alone.modules())
            for one, other in zip(
                alone(images(9))[domain], net(images(9), domain)[domain], strict=True
            ):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)

    def test_a_task_alone_gives_a_pair(self):
        net = network(domains={'digits': ['digits'], 'faces': ['age', 'mood']}, task='mood')
        assert net.domains == {'faces': ('mood',)}
        assert net.architecture.domains == ('faces',)
        low, context = net(images())
        assert low.shape == (2, 16, 16, 16)
        assert context.shape == (2, 16, 2, 2)


class TestPretrained:
    @pytest.mark.parametrize('statistics', ['domain', 'shared', 'all'])
    def test_all_domains_begin_with_the_statistics(self, toys, tmp_path, statistics):
        source = torchvision.models.mobilenet_v2(width_mult=0.25)
        toys.randomise(source)
        torch.save(source.state_dict(), tmp_path / 'a.pth')
        init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'a.pth')}
        routing = {'a': (0,) * 17, 'b': (0,) * 17}
        net = network(routing, toys.MOBILENET, norm_statistics=statistics, init_cfg=init_cfg)
        tree = BranchedArchitecture.shared(['a'], toys.MOBILENET, 18)
        expected = BranchedNetwork(tree, init_cfg=init_cfg)
        expected.init_weights()
        with torch.no_grad():
            for domain in 'ab':
                torch.testing.assert_close(
                    net.eval()(images(), domain)[domain][0], expected.eval()(images())['a'][0]
                )


class TestCheckpoints:
    def test_state_comes_back(self):
        net, other = network(), network()
        for parameter in net.parameters():
            parameter.data.normal_()
        other.load_state_dict(net.state_dict())
        for domain in DOMAINS:
            assert torch.equal(
                net.eval()(images(), domain)[domain][1], other.eval()(images(), domain)[domain][1]
            )

    def test_other_paths_are_refused(self):
        other = {**ROUTING, 'faces': ROUTING['digits']}
        with pytest.raises(InputError, match='other paths'):
            network().load_state_dict(network(other).state_dict())

    def test_a_tree_is_refused(self, toys):
        tree = BranchedNetwork(toys.random_tree(['a', 'b']))
        with pytest.raises(InputError, match='expected paths'):
            network().load_state_dict(tree.state_dict(), strict=False)
        with pytest.raises(InputError, match='expected a tree'):
            tree.load_state_dict(network().state_dict(), strict=False)


class TestRefusals:
    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'norm_statistics': 'mine'}, 'norm_statistics'),
            ({'task': 'birds'}, "task 'birds'"),
            ({'domains': ['digits', 'birds']}, "'birds'"),
            ({'domains': ['digits', 'digits']}, 'different'),
            ({'domains': {'digits': ['x'], 'faces': ['x']}}, 'that no other has'),
            ({'encoder': ENCODER | {'kernels': [3, 7]}}, 'the config asks for'),
            ({'encoder': ENCODER | {'widen_factor': 1}}, 'the config asks for'),
            ({'encoder': ENCODER | {'per_block': 1}}, 'the config asks for'),
        ],
    )
    def test_what_does_not_fit(self, options, message):
        with pytest.raises(InputError, match=message):
            network(**options)

    def test_a_domain_it_does_not_have(self):
        with pytest.raises(InputError, match='birds'):
            network()(images(), 'birds')

    def test_a_tree(self, toys):
        with pytest.raises(InputError, match='tree'):
            PathNetwork(toys.random_tree(['a', 'b']))


class TestPlainClassifier:
    """Bar M15: the backbone of a plain mmpretrain.ImageClassifier."""

    def test_gives_the_same_logits(self, toys):
        from mmpretrain.models import ImageClassifier

        domains = ['digits', 'faces']
        config = toys.path_config(domains)
        model = toys.build(config)
        model.init_weights()
        for step in range(2):
            model.train().loss(*toys.domain_batch(domains, seed=step))
        architecture = config['backbone']['architecture']
        head = model.decode_heads['faces']
        plain = ImageClassifier(
            data_preprocessor={'type': 'mmpretrain.ClsDataPreprocessor'},
            backbone={
                'type': 'mmbmtas.PathNetwork',
                'architecture': architecture,
                'task': 'faces',
            },
            neck={'type': 'mmpretrain.GlobalAveragePooling'},
            head={
                'type': 'mmpretrain.StackedLinearClsHead',
                'in_channels': 16,
                'mid_channels': [8],
                'num_classes': 3,
                'act_cfg': {'type': 'HSwish'},
            },
        )
        alone = model.backbone.for_domain('faces')
        plain.backbone.load_state_dict(alone.state_dict())
        plain.head.load_state_dict(
            {
                'layers.0.fc.weight': head.hidden.weight,
                'layers.0.fc.bias': head.hidden.bias,
                'layers.1.fc.weight': head.classifier.weight,
                'layers.1.fc.bias': head.classifier.bias,
            }
        )
        x = images()
        with torch.no_grad():
            expected = head(model.eval().backbone(x, 'faces')['faces'])
            found = plain.eval()(x, mode='tensor')
            logits = plain.head(plain.extract_feat(x))
        assert found is not None
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
