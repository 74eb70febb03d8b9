"""The command lines of tools/grouping, on a small configuration and synthetic scenes."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image
from scipy.stats import spearmanr

from mmbmtas.grouping import dissimilarity
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.registry import MODELS
from mmbmtas.scenes import write_scenes
from mmbmtas.structures import BranchedArchitecture, TaskGrouping

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'branched_scenes.py'
SEARCH = ROOT / 'configs' / 'search_scenes.py'
SEARCHED = ROOT / 'configs' / 'architectures' / 'scenes.json'
TASKS = ('semseg', 'human_parts', 'saliency', 'normals', 'edge')


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Run a tool in this process, in an empty folder; its output, or its one line of error."""
    monkeypatch.chdir(tmp_path)

    def run(name, *words):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        try:
            runpy.run_path(str(ROOT / 'tools' / 'grouping' / f'{name}.py'), run_name='__main__')
        except SystemExit:
            (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error: ')]
            return line
        return capsys.readouterr().out

    return run


@pytest.fixture(scope='module')
def config():
    return read_tree_config(str(CONFIG))


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('grouping') / 'scenes'
    write_scenes(root, 'pascal', train=52, val=8, size=(64, 80))
    return root


@pytest.fixture(scope='module')
def options(scenes):
    """Options that let the config read the scenes in this process."""
    return ('--cfg-options', f'data_root={scenes}', 'test_dataloader.num_workers=0')


def save_network(config, tree, path, seed=0):
    """Write the checkpoint of a network with weights of its own."""
    init_default_scope('mmbmtas')
    torch.manual_seed(seed)
    model = config.model_config(tree)
    heads = {task: head for task, head in model['decode_heads'].items() if task in tree.tasks}
    model = MODELS.build({**model, 'decode_heads': heads})
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return model


def uniform(config, tasks, kind=TaskGrouping.shared):
    encoder = config.encoder
    groupings = [kind(len(tasks))] * encoder.num_layers
    return BranchedArchitecture.from_groupings(tasks, encoder.to_config(), groupings)


def test_uniform_trees_and_their_costs(tool, config):
    costs = {}
    for kind in ('shared', 'all_apart'):
        tool('uniform', SEARCH, '--kind', kind, '-o', f'{kind}.json')
        tree = BranchedArchitecture.load(f'{kind}.json')
        assert tree.tasks == TASKS
        assert tree.layers == config.encoder.layer_names
        assert tree.madds['shape'] == [128, 160]
        costs[kind] = tree.madds['network']
    assert costs == {
        'shared': config.cost.shared().madds,
        'all_apart': config.cost.all_apart().madds,
    }
    assert 'Wrote single.json' in tool('uniform', CONFIG, '--task', 'edge', '-o', 'single.json')
    single = BranchedArchitecture.load('single.json')
    assert single.tasks == ('edge',)
    assert single.madds['network'] < costs['shared']
    assert tool('uniform', CONFIG, '--task', 'depth').startswith("error: no task 'depth' in")


def test_random_trees_of_a_search_config(tool, config):
    words = (SEARCH, '--budget', '7e7', '--tolerance', '0.01', '--number', '3', '--seed', '5')
    tool('random_tree', *words, '-o', 'out/tree.json')
    trees = [BranchedArchitecture.load(f'out/tree_{n}.json') for n in (1, 2, 3)]
    assert len(set(trees)) == 3
    assert all(abs(tree.madds['network'] - 7e7) <= 0.01 * 7e7 for tree in trees)
    assert trees[1].source == {
        **{'method': 'random', 'budget': 7e7, 'tolerance': 0.01, 'number': 3, 'seed': 5},
        **{'index': 1, 'config': 'search_scenes.py'},
    }
    network = BranchedNetwork('out/tree_1.json')
    assert network.tasks == TASKS
    tool('random_tree', CONFIG, '--reference', SEARCHED)
    budget = BranchedArchitecture.load('architecture.json').source['budget']
    assert budget == config.cost.tree(BranchedArchitecture.load(SEARCHED)).madds
    error = tool('random_tree', SEARCH, '--budget', '9')
    assert error.startswith('error: 0 trees lie within 2.0% of 9 MAdds')


def test_vanilla_of_a_reference(tool, config):
    tool('vanilla', CONFIG, '--reference', SEARCHED)
    tree = BranchedArchitecture.load('architecture.json')
    budget = config.cost.tree(BranchedArchitecture.load(SEARCHED)).madds
    assert tree.source['budget'] == budget
    off = [
        abs(config.cost.shared().madds + 4 * sum(config.cost.layer_madds[n:]) - budget)
        for n in range(19)
    ]
    assert abs(tree.madds['network'] - budget) == min(off)
    other = ROOT / 'configs' / 'architectures' / 'pascal.json'
    assert 'error:' in tool('vanilla', CONFIG, '--reference', other)
    assert 'out of reach' in tool('vanilla', CONFIG, '--budget', '1e9')


def test_permutations_of_a_file(tool):
    tool('permute', SEARCHED, '-o', 'permuted.json', '--seed', '2')
    original = BranchedArchitecture.load(SEARCHED)
    trees = [BranchedArchitecture.load(f'permuted_{n}.json') for n in range(1, 6)]
    assert len({original, *trees}) == 6
    assert all(tree.madds == original.madds and tree.layers == original.layers for tree in trees)
    assert 'other permutations' in tool('permute', SEARCHED, '-o', 'x.json', '--number', '200')


def test_a_tree_for_another_context_module(tool):
    cell = ROOT / 'configs' / 'branched_scenes_dpc.py'
    tool('transfer', cell, SEARCHED, '-o', 'other.json')
    original, other = BranchedArchitecture.load(SEARCHED), BranchedArchitecture.load('other.json')
    assert (other.tasks, other.routing) == (original.tasks, original.routing)
    assert (other.layers, other.source['from']) == (original.layers, original.source)
    before, after = original.madds['layers'], other.madds['layers']
    assert after[:-1] == before[:-1]
    assert other.encoder['context']['type'] == 'DensePredictionCell'
    assert BranchedNetwork('other.json').tasks == TASKS
    copies = original.groupings[-1].num_groups
    difference = other.madds['network'] - original.madds['network']
    assert difference == copies * (after[-1] - before[-1])

    tool('uniform', CONFIG, '--task', 'edge', '-o', 'edge.json')
    tool('transfer', cell, 'edge.json', '-o', 'edge_dpc.json')
    tool('uniform', cell, '--task', 'edge', '-o', 'edge_direct.json')
    found, direct = map(BranchedArchitecture.load, ('edge_dpc.json', 'edge_direct.json'))
    assert (found, found.madds) == (direct, direct.madds)

    nyud = ROOT / 'configs' / 'architectures' / 'nyud.json'
    assert "'depth'" in tool('transfer', cell, nyud)
    r50 = ROOT / 'configs' / 'branched_scenes_r50.py'
    assert 'a tree of 18 layers of' in tool('transfer', r50, SEARCHED)


def test_a_config_of_another_kind(tool):
    plain = ROOT / 'configs' / 'plain_encoder_decoder.py'
    error = tool('random_tree', plain, '--budget', '9')
    assert 'is not the config of a search or of a branched network' in error


def test_fafs(tool, config, options):
    model = save_network(config, uniform(config, TASKS), 'shared.pth')
    checkpoint = torch.load('shared.pth')
    checkpoint['state_dict']['loss_balancing.log_variances.edge'] = torch.zeros(())  # no matter
    torch.save(checkpoint, 'shared.pth')
    words = ('--alpha', '0', '1', '1000', '--images', '12')
    tool('fafs', CONFIG, 'shared.pth', *words, '-o', 'fafs.json', *options)
    shared, tree, apart = (BranchedArchitecture.load(f'fafs_{n}.json') for n in (1, 2, 3))
    assert shared.madds['network'] == config.cost.shared().madds
    assert shared.madds['network'] <= tree.madds['network'] <= apart.madds['network']
    assert apart.groupings[-1].num_groups > 1
    affinity = np.array(tree.source['affinity'])
    assert affinity.shape == (5, 5)
    np.testing.assert_array_equal(affinity, affinity.T)
    np.testing.assert_array_equal(np.diag(affinity), 1)
    assert (tree.source['images'], tree.source['alpha']) == (12, 1.0)
    assert model.tasks == TASKS


@pytest.mark.slow
def test_fafs_refuses_other_networks(tool, config, options):
    save_network(config, uniform(config, TASKS, TaskGrouping.all_apart), 'apart.pth')
    assert 'shares all layers' in tool('fafs', CONFIG, 'apart.pth', *options)
    save_network(config, uniform(config, ['edge']), 'edge.pth')
    assert 'expected a network of' in tool('fafs', CONFIG, 'edge.pth', *options)
    assert 'no such checkpoint' in tool('fafs', CONFIG, 'lost.pth', *options)
    assert not Path('architecture.json').exists()


@pytest.fixture(scope='module')
def singles(config, tmp_path_factory):
    """Checkpoints of single-task networks; those of saliency and edge are the same."""
    folder = tmp_path_factory.mktemp('singles')
    for seed, task in enumerate(TASKS):
        tree = uniform(config, [task])
        save_network(config, tree, folder / f'{task}.pth', 2 if task == 'edge' else seed)
    return {task: f'{task}={folder / f"{task}.pth"}' for task in TASKS}


@pytest.mark.slow
def test_bmn(tool, config, options, singles):
    shared = config.cost.shared().madds
    caps = ('--cap', 1.001 * shared, 1.4 * shared)
    words = ('--checkpoints', *singles.values(), '--grid', '2', '-o', 'out/bmn.json')
    tool('bmn', CONFIG, *words, *caps, '--images', '50', *options)
    rsa = np.load('out/rsa.npy')
    assert rsa.shape == (18, 5, 5)
    np.testing.assert_allclose(rsa[:, 2, 4], 1)  # the same network
    assert (rsa[3:, 0, 1] < 0.999).all()
    with Image.open('out/rsa.png') as picture:
        assert picture.width > 500
    trees = [BranchedArchitecture.load(f'out/bmn_{n}.json') for n in (1, 2)]
    for tree, cap in zip(trees, caps[1:], strict=True):
        assert tree.madds['network'] <= cap
    assert {2, 4} <= set(trees[1].groupings[-1].group_of(2))

    words = ('bmn', CONFIG, '--rsa', 'out/rsa.npy')
    assert 'Wrote again_2.json' in tool(*words, *caps, '-o', 'again.json', *options)
    assert BranchedArchitecture.load('again_2.json') == trees[1]
    tool(*words, '--reference', 'out/bmn_2.json', '-o', 'third.json', *options)
    assert BranchedArchitecture.load('third.json').source['cap'] == trees[1].madds['network']


@pytest.mark.slow
def test_bmn_refuses_what_it_cannot_compare(tool, config, options, singles, tmp_path):
    words = ('bmn', CONFIG, '--cap', '1e9', *options, '--checkpoints')
    assert 'expected one TASK=CHECKPOINT for each' in tool(*words, singles['edge'])
    swapped = {**singles, 'edge': singles['edge'].replace('edge=', 'normals=', 1)}
    swapped['normals'] = singles['normals'].replace('normals=', 'edge=', 1)
    assert "expected one of 'normals' alone" in tool(*words, *swapped.values())
    few = tool(*words, *singles.values(), '--split', 'val')
    assert few.startswith('error: 8 images are too few to compare networks: at least 50')
    low = tool('bmn', CONFIG, '--cap', '1e3', '--checkpoints', *singles.values())
    assert low.startswith('error: a cap of 1,000 MAdds is out of reach')
    np.save('rsa.npy', np.ones((3, 5, 5)))
    assert 'expected 18 layers, 5 tasks' in tool('bmn', CONFIG, '--cap', '1e9', '--rsa', 'rsa.npy')
    assert not (tmp_path / 'rsa.png').exists()


def test_bmn_compares_features_as_scipy_does(config, options):
    """The whole way from images to an affinity, with all positions of the features."""
    from mmbmtas.comparison.affinity import image_loader, measure_dissimilarities

    init_default_scope('mmbmtas')
    cfg = config.cfg.copy()
    root, workers = (word.partition('=')[2] for word in options[1:])
    for name in ('train_dataloader', 'test_dataloader'):
        cfg[name].dataset.data_root = root
    cfg.test_dataloader.num_workers = int(workers)
    loader = image_loader(cfg, 'train', 6, seed=1)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    encoder = config.encoder.to_config()
    network = BranchedNetwork(BranchedArchitecture.shared(['edge'], encoder, 18)).eval()
    found = measure_dissimilarities(network, preprocessor, loader, grid=0)
    assert len(found) == 18
    images = torch.cat([preprocessor(batch, False)['inputs'] for batch in loader])
    with torch.no_grad():
        low_level, context = network(images)['edge']
    for layer, features in ((2, low_level), (-1, context)):
        np.testing.assert_allclose(found[layer], dissimilarity(features.numpy()), atol=1e-5)
        expected = 1 - np.corrcoef(features.flatten(1).numpy())
        np.testing.assert_allclose(found[layer], expected, atol=1e-5)
    upper = np.triu_indices(6, 1)
    assert spearmanr(found[2][upper], found[-1][upper]).statistic <= 1
    assert image_loader(cfg, 'train', 6, seed=2).dataset.indices != loader.dataset.indices


def test_sources_are_json(tool):
    tool('uniform', CONFIG, '--kind', 'shared')
    source = json.loads(Path('architecture.json').read_text())['source']
    assert source == {'method': 'shared', 'config': 'branched_scenes.py'}


class TestSimilarity:
    """Trees from the similarities of a search, for other budgets than the search had."""

    @pytest.fixture
    def measured(self, config, tmp_path):
        """Semseg is like human parts, saliency like edges, in every layer; tasks in other order."""
        tasks = [*reversed(TASKS)]
        alike = [{'semseg', 'human_parts'}, {'saliency', 'edge'}]
        one = [[1.0 if a == b or {a, b} in alike else 0.2 for b in tasks] for a in tasks]
        layers = [*config.encoder.layer_names]
        document = {'tasks': tasks, 'layers': layers, 'similarities': [one] * len(layers)}
        path = tmp_path / 'similarity.json'
        path.write_text(json.dumps(document))
        return path

    def trees(self, folder, count):
        paths = [folder / f't_{n}.json' for n in range(1, count + 1)]
        return [BranchedArchitecture.load(path) for path in paths]

    def test_budgets(self, tool, config, measured, tmp_path):
        shared, apart = config.cost.shared().madds, config.cost.all_apart().madds
        budgets = [shared, (shared + apart) / 2, apart]
        tool('similarity', CONFIG, measured, '-o', 't.json', '--budget', *budgets)
        trees = self.trees(tmp_path, 3)
        costs = [tree.madds['network'] for tree in trees]
        assert costs[0] == shared
        assert 0.95 * budgets[1] < costs[1] <= budgets[1]
        # Apart only what differs: copies of what is alike would cost more for nothing.
        groups = {
            frozenset(trees[2].tasks[i] for i in group) for group in trees[2].groupings[-1].groups
        }
        assert groups == {
            frozenset({'semseg', 'human_parts'}),
            frozenset({'saliency', 'edge'}),
            frozenset({'normals'}),
        }
        assert trees[1].source['cap'] == budgets[1]

    def test_a_larger_weight_never_costs_more(self, tool, measured, tmp_path):
        weights = [0, 0.1, 0.5, 2, 10]
        tool('similarity', CONFIG, measured, '-o', 't.json', '--weight', *weights)
        costs = [tree.madds['network'] for tree in self.trees(tmp_path, 5)]
        assert costs == sorted(costs, reverse=True)
        assert costs[0] > costs[-1]

    def test_other_documents(self, tool, measured):
        document = json.loads(measured.read_text())
        for change, said in (
            ({'tasks': ['semseg']}, "is for the tasks ['semseg'], the config for"),
            ({'layers': ['a']}, "is for the layers ['a'], the config for"),
            ({'similarities': [[1.0]]}, 'similarities have the shape (1, 1), expected'),
            ({'similarities': 'x'}, 'similarities are not numbers'),
            ({'more': 1}, 'is not the similarity.json of a search'),
        ):
            measured.write_text(json.dumps({**document, **change}))
            assert said in tool('similarity', CONFIG, measured, '--budget', '8e7')

    def test_wishes_without_meaning(self, tool, measured):
        assert '--budget nan: expected' in tool('similarity', CONFIG, measured, '--budget', 'nan')
        assert 'out of reach' in tool('similarity', CONFIG, measured, '--budget', '1000')
        assert 'weight of the' in tool('similarity', CONFIG, measured, '--weight', '-1')
