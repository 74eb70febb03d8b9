"""Supernet and branched network: what runs, how often, and that both compute the same."""

import random
import time
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from mmbmtas.models.backbones import BranchedNetwork, BranchedSupernet
from mmbmtas.models.backbones.branched_supernet import copy_supernet_weights
from mmbmtas.structures import BranchedArchitecture

TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture(params=['MOBILENET', 'RESNET'])
def encoder(request, toys):
    return getattr(toys, request.param)


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def count_calls(modules):
    """Count the calls of named modules."""
    calls = Counter()
    for name, module in modules.items():
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    return calls


def candidates_of(supernet):
    return {
        (layer, index): candidate
        for layer, candidates in enumerate(supernet.layers)
        for index, candidate in enumerate(candidates)
    }


class TestSameAsBranchedNetwork:
    """Must hold 4."""

    def check(self, toys, tasks, encoder, seed, images, mode='argmax'):
        torch.manual_seed(seed)
        supernet = toys.supernet(tasks, encoder)
        supernet.init_weights()
        toys.randomise(supernet, seed)
        toys.route(supernet, toys.random_routing(tasks, toys.NUM_LAYERS[encoder['type']], seed))
        supernet.set_routing_mode(mode)
        supernet.eval()
        tree = (
            supernet.export_architecture()
            if mode != 'warmup'
            else BranchedArchitecture.from_routing(
                tasks, supernet.encoder.to_config(), {t: supernet.routing(t) for t in tasks}
            )
        )
        network = BranchedNetwork(BranchedArchitecture.from_dict(tree.to_dict()))
        network.init_weights()
        toys.randomise(network, seed + 1)  # all of it must be overwritten
        copy_supernet_weights(supernet, network)
        network.eval()
        with torch.no_grad():
            expected, found = supernet(images), network(images)
        assert [*found] == [*expected] == [*tasks]
        for task in tasks:
            for one, other in zip(found[task], expected[task], strict=True):
                torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
                assert other.std() > 1e-4
        return network

    @pytest.mark.parametrize('seed', range(3))
    def test_random_trees(self, seed, toys, encoder, images):
        network = self.check(toys, TASKS, encoder, seed, images)
        assert network.architecture.groupings[-1].num_groups > 1

    @pytest.mark.parametrize('mode', ['relaxed', 'warmup'])  # relaxed: the argmax in evaluation
    def test_other_modes(self, mode, toys, images):
        network = self.check(toys, TASKS, toys.MOBILENET, 5, images, mode)
        if mode == 'warmup':
            assert all(len(branches) == 3 for branches in network.layers)

    def test_one_task(self, toys, encoder, images):
        self.check(toys, ('depth',), encoder, 0, images)

    def test_six_tasks(self, toys, images):
        self.check(toys, toys.SIX, toys.MOBILENET, 1, images)

    def test_another_tree_is_refused(self, toys):
        supernet = toys.supernet(TASKS)
        toys.route(supernet, toys.random_routing(TASKS, 18, 0))
        with pytest.raises(ValueError, match='the supernet routes as'):
            copy_supernet_weights(supernet, BranchedNetwork(toys.random_tree(TASKS, seed=1)))


class TestSupernet:
    @pytest.fixture
    def supernet(self, toys, encoder):
        torch.manual_seed(0)
        supernet = toys.supernet(TASKS, encoder)
        supernet.init_weights()
        return supernet

    def test_parameters(self, supernet, encoder, toys):
        shape = (toys.NUM_LAYERS[encoder['type']], 3, 3)
        assert supernet.arch_params.shape == shape
        assert (supernet.arch_params == 0).all()
        assert len(supernet.weights()) == len([*supernet.parameters()]) - 1
        assert all(p is not supernet.arch_params for p in supernet.weights())
        torch.testing.assert_close(supernet.routing_probs(), torch.full(shape, 1 / 3))

    def test_only_the_last_normalisation_has_no_affine(self, supernet):
        for candidates in supernet.layers:
            for candidate in candidates:
                last = supernet.encoder.last_norm(candidate)
                norms = [m for m in candidate.modules() if hasattr(m, 'running_mean')]
                assert last.weight is None
                assert last.bias is None
                assert not last.affine
                assert all(m.affine and m.weight is not None for m in norms if m is not last)

    def test_warmup_runs_the_tasks_own_candidates(self, supernet, images):
        supernet.set_routing_mode('warmup')
        calls = count_calls(candidates_of(supernet))
        supernet(images, ['normals'])
        assert calls == {(layer, 1): 1 for layer in range(len(supernet.layers))}
        calls.clear()
        supernet(images)
        assert calls == dict.fromkeys(candidates_of(supernet), 1)

    def test_argmax_runs_the_most_probable_candidates(self, supernet, images, toys):
        routing = toys.random_routing(TASKS, len(supernet.layers), 2)
        toys.route(supernet, routing)
        supernet.set_routing_mode('argmax')
        calls = count_calls(candidates_of(supernet))
        supernet(images, ['edge'])
        assert calls == dict.fromkeys(enumerate(routing['edge']), 1)

    def test_relaxed_runs_all(self, supernet, images):
        calls = count_calls(candidates_of(supernet))
        supernet(images, ['edge'])
        assert calls == dict.fromkeys(candidates_of(supernet), 1)

    def test_the_stem_runs_once(self, supernet, images):
        calls = count_calls({'stem': supernet.stem})
        supernet(images)
        assert calls['stem'] == 1

    def test_relaxed_output_is_the_weighted_sum(self, supernet, images, monkeypatch):
        z = torch.randn(len(supernet.layers), 3).softmax(-1)
        monkeypatch.setattr(supernet, 'sample_routing', lambda task: z)
        low, context = supernet(images, ['edge'])['edge']
        x = supernet.stem(images)
        for layer, candidates in enumerate(supernet.layers):
            x = torch.stack([z[layer, c] * op(x) for c, op in enumerate(candidates)]).sum(0)
            if layer == supernet.encoder.low_level_index:
                torch.testing.assert_close(low, x, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(context, x, rtol=1e-3, atol=1e-3)

    def test_gradient_reaches_the_tasks_rows_only(self, supernet, images):
        with torch.no_grad():  # candidates start alike, so that it would not matter which
            for parameter in supernet.weights():
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
        _, context = supernet(images, ['normals'])['normals']
        context.square().sum().backward()
        gradient = supernet.arch_params.grad
        assert (gradient[:, 1] != 0).any(dim=-1).all()
        assert (gradient[:, [0, 2]] == 0).all()
        assert all(p.grad is not None for p in supernet.weights())

    def test_modes_are_checked(self, supernet):
        with pytest.raises(ValueError, match=r"routing mode 'soft': expected one of \('relaxed'"):
            supernet.set_routing_mode('soft')


class TestSampling:
    @pytest.fixture
    def supernet(self, toys):
        supernet = toys.supernet(TASKS)
        with torch.no_grad():
            supernet.arch_params.normal_(generator=torch.Generator().manual_seed(1))
        return supernet

    def test_rows_sum_to_one(self, supernet):
        z = supernet.sample_routing('edge')
        assert z.shape == (18, 3)
        torch.testing.assert_close(z.sum(-1), torch.ones(18))
        assert not torch.equal(z, supernet.sample_routing('edge'))

    def test_the_largest_is_each_candidate_as_often_as_its_probability(self, supernet):
        torch.manual_seed(0)
        wins = torch.zeros(18, 3)
        for _ in range(2000):
            wins += F.one_hot(supernet.sample_routing('normals').argmax(-1), 3)
        # 2000 draws: a standard error of at most 0.011.
        torch.testing.assert_close(wins / 2000, supernet.routing_probs()[:, 1], rtol=0, atol=0.06)

    def test_noise_and_temperature_are_eq_2(self, supernet, monkeypatch):
        supernet.tau = 0.7
        seed = 3
        torch.manual_seed(seed)
        z = supernet.sample_routing('semseg')
        torch.manual_seed(seed)
        noise = -torch.empty(18, 3).exponential_().log()
        expected = ((supernet.arch_params[:, 0] + noise) / 0.7).softmax(-1)
        torch.testing.assert_close(z, expected)

    def test_low_temperature_decides(self, supernet):
        supernet.tau = 5.0
        soft = supernet.sample_routing('edge').max(-1).values.mean()
        supernet.tau = 0.1
        assert supernet.sample_routing('edge').max(-1).values.mean() > max(soft, 0.85)


class TestBranchedNetwork:
    def test_shared_prefixes_run_once(self, toys, encoder, images):
        tree = toys.random_tree(toys.SIX, encoder, seed=4)
        network = BranchedNetwork(tree)
        modules = {
            (layer, branch): module
            for layer, branches in enumerate(network.layers)
            for branch, module in enumerate(branches)
        }
        calls = count_calls({'stem': network.stem, **modules})
        features = network(images)
        assert calls == {'stem': 1, **dict.fromkeys(modules, 1)}
        assert [len(b) for b in network.layers] == [g.num_groups for g in tree.groupings]
        assert len(modules) < len(network.layers) * 6
        low_level = tree.groupings[network.encoder.low_level_index].labels
        for i, one in enumerate(toys.SIX):
            for j, other in enumerate(toys.SIX):
                same = features[one][0] is features[other][0]
                assert same == (low_level[i] == low_level[j])

    @pytest.mark.parametrize('seed', range(3))
    def test_one_task_alone_computes_the_same(self, seed, toys, encoder, images):
        tree = toys.random_tree(TASKS, encoder, seed)
        network = BranchedNetwork(tree).eval()
        toys.randomise(network)
        for index, task in enumerate(TASKS):
            alone = BranchedNetwork(tree, task=task).eval()
            alone.stem.load_state_dict(network.stem.state_dict())
            for own, branches, grouping in zip(
                alone.layers, network.layers, tree.groupings, strict=True
            ):
                (only,) = own
                only.load_state_dict(branches[grouping.labels[index]].state_dict())
            with torch.no_grad():
                found, expected = alone(images), network(images)[task]
            assert isinstance(found, tuple)
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one, other)

    def test_affine_and_dropout(self, toys, encoder):
        network = BranchedNetwork(toys.random_tree(TASKS, encoder))
        for branches in network.layers:
            for branch in branches:
                assert network.encoder.last_norm(branch).weight is not None
        assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.1] * len(
            network.layers[-1]
        )
        supernet = toys.supernet(TASKS, encoder)
        assert {m.p for m in supernet.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}

    def test_shared_by_covers_every_parameter_once(self, toys, encoder):
        network = BranchedNetwork(toys.random_tree(TASKS, encoder))
        parts = [*network.shared_by()]
        parameters = [p for module, _ in parts for p in module.parameters()]
        assert len(parameters) == len({*parameters}) == len([*network.parameters()])
        assert parts[0] == (network.stem, 3)
        assert sum(count for _, count in parts[1:]) == 3 * len(network.layers)

    def test_the_tree_may_be_a_file_a_document_or_an_object(self, toys, tmp_path):
        tree = toys.random_tree(TASKS)
        tree.save(tmp_path / 'tree.json')
        for given in (tree, tree.to_dict(), tmp_path / 'tree.json', str(tmp_path / 'tree.json')):
            assert BranchedNetwork(given).architecture == tree

    def test_another_encoder_is_refused(self, toys, tmp_path):
        tree = toys.random_tree(TASKS)
        tree.save(tmp_path / 'tree.json')
        for cfg in (toys.RESNET, {**toys.MOBILENET, 'widen_factor': 0.5}):
            with pytest.raises(ValueError, match=r'is for .* the config asks for') as caught:
                BranchedNetwork(str(tmp_path / 'tree.json'), encoder=cfg)
            assert 'tree.json' in str(caught.value)
            assert cfg['type'] in str(caught.value)

    @pytest.mark.parametrize('given', [True, False])
    def test_a_strangers_tree_runs_nothing(self, given, toys, tmp_path):
        """mmengine's registries would import and call what `type` names."""
        marker = tmp_path / 'called'
        encoder = {'type': 'subprocess.Popen', 'args': ['touch', str(marker)]}
        path = tmp_path / 'tree.json'
        BranchedArchitecture.shared(TASKS, encoder, 18).save(path)
        with pytest.raises(ValueError, match=r"tree\.json: encoder type 'subprocess\.Popen'"):
            BranchedNetwork(path, encoder=toys.MOBILENET if given else None)
        time.sleep(0.2)
        assert not marker.exists()

    def test_another_number_of_layers_is_refused(self, toys):
        tree = BranchedArchitecture.shared(TASKS, toys.MOBILENET, 17)
        with pytest.raises(ValueError, match=r'17 layers.*18'):
            BranchedNetwork(tree)

    def test_unknown_task(self, toys):
        with pytest.raises(ValueError, match=r"\['depth'\].*semseg"):
            BranchedNetwork(toys.random_tree(TASKS), task='depth')

    def test_normalisation_may_differ_from_the_trees(self, toys, images):
        tree = toys.random_tree(TASKS)
        encoder = {**toys.MOBILENET, 'norm_cfg': {'type': 'BN', 'eps': 0.1}}
        network = BranchedNetwork(tree, encoder=encoder)
        assert {m.eps for m in network.modules() if hasattr(m, 'eps')} == {0.1}
        assert network.architecture == tree


class TestState:
    def test_a_checkpoint_comes_back(self, toys, images):
        tree = toys.random_tree(TASKS)
        one, other = BranchedNetwork(tree).eval(), BranchedNetwork(tree).eval()
        toys.randomise(one)
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(images)['edge'][1], other(images)['edge'][1])

    def test_another_tree_is_refused(self, toys):
        one, other = (BranchedNetwork(toys.random_tree(TASKS, seed=seed)) for seed in (0, 1))
        with pytest.raises(ValueError, match='another tree than the config') as caught:
            other.load_state_dict(one.state_dict())
        assert one.architecture.describe() in str(caught.value)
        assert other.architecture.describe() in str(caught.value)

    def test_another_numbering_of_the_same_tree_is_not(self, toys):
        tree = toys.random_tree(TASKS)
        network = BranchedNetwork(tree)
        same = BranchedArchitecture.from_groupings(tree.tasks, tree.encoder, tree.groupings)
        BranchedNetwork(same).load_state_dict(network.state_dict())

    def test_supernets_of_other_tasks_or_encoders_are_refused(self, toys):
        state = toys.supernet(TASKS).state_dict()
        for tasks, cfg in (
            (('semseg', 'edge', 'normals'), toys.MOBILENET),
            (TASKS[:2], toys.MOBILENET),
            (TASKS, {**toys.MOBILENET, 'context_channels': 16}),
        ):
            with pytest.raises(ValueError, match='the checkpoint holds a supernet for'):
                toys.supernet(tasks, cfg).load_state_dict(state, strict=False)
        toys.supernet(TASKS).load_state_dict(state)

    def test_searched_and_trained_networks_do_not_mix(self, toys):
        supernet, tree = toys.supernet(TASKS), toys.random_tree(TASKS)
        network = BranchedNetwork(tree)
        with pytest.raises(ValueError, match='that was trained, not searched'):
            supernet.load_state_dict(network.state_dict(), strict=False)
        with pytest.raises(ValueError, match=r'comes from a search.*of a retrained tree \(archi'):
            network.load_state_dict(supernet.state_dict(), strict=False)


@pytest.mark.parametrize(
    ('tasks', 'options', 'message'),
    [
        ([], {}, '1 to 64'),
        (['a', 'a'], {}, '1 to 64'),
        ([f't{i}' for i in range(65)], {}, '1 to 64'),
        (['a'], {'task': 'b'}, "task 'b' is none of the tasks"),
    ],
)
def test_tasks_of_a_supernet_are_checked(tasks, options, message, toys):
    with pytest.raises(ValueError, match=message):
        BranchedSupernet(tasks, toys.MOBILENET, **options)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        ({'type': 'Transformer'}, r"encoder type 'Transformer', expected one of \['ConvNeXt"),
        ({}, 'encoder type None'),
        ({'type': 'MobileNetV2Encoder', 'depth': 5}, 'does not fit MobileNetV2Encoder'),
        (
            {'type': 'MobileNetV2Encoder', 'widen_factor': 'wide'},
            "'wide': expected a finite number",
        ),
    ],
)
def test_encoders_are_checked(cfg, message):
    with pytest.raises(ValueError, match=message):
        BranchedSupernet(TASKS, cfg)


def test_encoders_may_have_a_prefix(toys):
    encoder = {**toys.MOBILENET, 'type': 'mmbmtas.MobileNetV2Encoder'}
    assert toys.supernet(TASKS, encoder).encoder.to_config()['type'] == 'MobileNetV2Encoder'


def test_a_supernet_of_20_tasks(toys, images):
    tasks = [f'task{i}' for i in range(20)]
    supernet = toys.supernet(tasks)
    supernet.set_routing_mode('warmup')
    chosen = random.Random(0).sample(tasks, 2)
    assert [*supernet(images, chosen)] == chosen
    assert supernet.export_architecture().tasks == tuple(tasks)
