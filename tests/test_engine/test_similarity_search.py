"""The search by similarity: what it measures, the tree it takes, budgets and lambda, resuming."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.engine.runner import branched_search_loop, similarity_search
from mmbmtas.structures import BranchedArchitecture, TaskGrouping

TASKS = ('semseg', 'normals', 'edge')


class Stop(Hook):
    """Interrupts a run before an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


@pytest.fixture
def run(toys, make_runner):
    def make(folder, tasks=TASKS, resource=None, hooks=(), weight_iters=6, **options):
        return make_runner(
            folder,
            toys.search_config(tasks, toys.TINY, **(resource or {})),
            {
                'type': 'SimilaritySearchLoop',
                'weight_iters': weight_iters,
                'arch_fraction': 0.4,
                **options.pop('loop', {}),
            },
            {
                'constructor': 'SearchOptimWrapperConstructor',
                'weights': {'optimizer': {'type': 'Adam', 'lr': 0.01}},
                'arch_params': {'optimizer': {'type': 'Adam', 'lr': 0.01}},
            },
            custom_hooks=[{'type': 'ArchitectureExportHook'}, *hooks],
            **options,
        )

    return make


def similar(pairs, layers=3):
    """Similarities of three tasks, the same in every layer."""
    values = np.eye(3)
    for (i, j), value in pairs.items():
        values[i, j] = values[j, i] = value
    return np.stack([values] * layers)


def test_a_search_writes_its_tree_and_what_it_compared(run, tmp_path):
    runner = run(tmp_path)
    runner.train()
    backbone = runner.train_loop.model.backbone
    document = json.loads((tmp_path / 'similarity.json').read_text())
    values = np.array(document['similarities'])
    assert (document['tasks'], values.shape) == ([*TASKS], (3, 3, 3))
    assert ((values >= 0) & (values <= 1)).all()
    assert np.allclose(values, values.transpose(0, 2, 1))
    tree = BranchedArchitecture.load(tmp_path / 'architecture.json')
    expected = runner.train_loop.choose(values)
    assert tree.groupings == expected == backbone.export_architecture().groupings
    assert (tmp_path / 'similarity.png').stat().st_size > 1000


def test_tasks_with_equal_candidates_are_alike(run, tmp_path):
    """Before any training the candidates of a layer are alike, so all features are equal."""
    loop = run(tmp_path).train_loop
    loop.model.init_weights()
    assert loop.model.backbone.starts_alike()
    loop.enter('warmup')
    assert loop.measure_similarities() == pytest.approx(np.ones((3, 3, 3)), abs=1e-4)
    with torch.no_grad():
        loop.model.backbone.layers[1][2][1].conv.weight.normal_()
    assert not loop.model.backbone.starts_alike()
    found = loop.measure_similarities()
    assert found[0] == pytest.approx(np.ones((3, 3)), abs=1e-4)
    assert found[1, 0, 1] == pytest.approx(1, abs=1e-4)
    assert max(found[1, 0, 2], found[1, 1, 2]) < 0.999


def test_ranks_of_other_seeds_compare_the_same_channels(run, tmp_path, monkeypatch):
    """Their sums are added up; mmengine's diff_rank_seed gives each a seed of its own."""
    loop = run(tmp_path).train_loop
    loop.model.init_weights()
    loop.enter('warmup')
    picked = []

    def pick(output, channels, pixels):
        picked[-1].append(channels.tolist())
        return output.movedim(1, -1).flatten(end_dim=-2)[pixels][:, channels]

    monkeypatch.setattr(similarity_search, '_pick', pick)
    for seed in (1, 2):
        picked.append([])
        loop.runner._seed = seed
        loop.measure_similarities()
    assert picked[0] == picked[1]
    assert {len(channels) for channels in picked[0]} == {4}
    # No more than an eighth of the pixels, lest any explain any.
    monkeypatch.setattr(similarity_search, '_PIXELS_A_BATCH', 16)
    loop.batches = 1
    picked.append([])
    loop.measure_similarities()
    assert {len(channels) for channels in picked[2]} == {2}


def test_the_budget_goes_where_tasks_differ(run, tmp_path, toys):
    model = run(tmp_path / 'free').model
    cost = model.network_cost
    two = cost.tree(
        BranchedArchitecture.from_groupings(TASKS, toys.TINY, [TaskGrouping(((0, 2), (1,)))] * 3)
    ).madds
    loop = run(tmp_path / 'held', resource={'target_madds': float(two)}).train_loop
    tree = loop.choose(similar({(0, 2): 0.9, (0, 1): 0.2, (1, 2): 0.3}))
    assert tree == (TaskGrouping(((0, 2), (1,))),) * 3
    tree = loop.choose(similar({(0, 2): 0.1, (0, 1): 0.2, (1, 2): 0.8}))
    assert tree == (TaskGrouping(((1, 2), (0,))),) * 3


def test_the_cost_falls_as_lambda_rises(run, tmp_path, toys):
    runner = run(tmp_path)
    loop, rng = runner.train_loop, np.random.default_rng(0)
    values = np.stack([similar(dict.fromkeys([(0, 1), (0, 2), (1, 2)], 0.0), 1)[0]] * 3)
    for pair in ((0, 1), (0, 2), (1, 2)):
        values[:, pair[0], pair[1]] = values[:, pair[1], pair[0]] = rng.uniform(0.2, 0.9, 3)
    costs = []
    for weight in np.geomspace(0.01, 100, 25):
        loop.model.resource_loss.weight = weight
        groups = [grouping.num_groups for grouping in loop.choose(values)]
        costs.append(np.dot(groups, loop.model.network_cost.layer_madds))
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == 3 * sum(loop.model.network_cost.layer_madds)
    assert costs[-1] == sum(loop.model.network_cost.layer_madds)
    assert len({*costs}) > 3


class Candidates(Hook):
    """Notes the parameters of each candidate of a layer before each iteration and at the end."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        layer = runner.train_loop.model.backbone.layers[1]
        self.seen.append(
            [torch.cat([p.detach().flatten() for p in own.parameters()]) for own in layer]
        )

    def after_train(self, runner):
        self.before_train_iter(runner, 0)


def test_tasks_part_from_a_shared_start(run, tmp_path):
    watched = Candidates()
    run(tmp_path, hooks=[watched], loop={'shared_fraction': 0.5}).train()
    for before, after in itertools.pairwise(watched.seen[:3]):
        assert not torch.equal(before[0], after[0])
        for index in (1, 2):
            assert torch.equal(before[index], after[index])
    begun, *_, last = watched.seen[3:]
    for other in begun[1:]:
        assert torch.equal(other, begun[0])
    assert not torch.equal(begun[0], watched.seen[2][0])
    for own, other in itertools.combinations(last, 2):
        assert not torch.equal(own, other)


class Scramble(Hook):
    """Gives the candidates of a layer different weights, as loaded ones can have."""

    def before_train(self, runner):
        with torch.no_grad():
            next(runner.train_loop.model.backbone.layers[1][1].parameters()).normal_()


@pytest.mark.parametrize(
    ('hooks', 'loop', 'told'),
    [
        ([Scramble()], {}, 'features differ'),
        ([], {}, None),
        ([Scramble()], {'shared_fraction': 0.5}, 'After iteration 3 they become copies'),
    ],
)
def test_unlike_candidates_are_told_of(run, tmp_path, monkeypatch, hooks, loop, told):
    seen = []
    monkeypatch.setattr(branched_search_loop, 'print_log', lambda text, **_: seen.append(text))
    run(tmp_path, hooks=hooks, loop=loop).train()
    (text,) = [text for text in seen if 'different weights' in text] or ['']
    assert bool(text) == bool(told)
    assert (told or '') in text


def test_all_tasks_train_the_shared_copy(run, tmp_path, toys):
    """Its last gradients are those of the last task, through the first candidate alone."""
    loop = run(tmp_path, loop={'shared_fraction': 0.5}).train_loop
    loop.model.init_weights()
    loop.enter('shared')
    for task in TASKS:
        loop.model.zero_grad()
        total, _ = loop.model.parse_losses(
            loop.model(*toys.batch(TASKS), mode='loss', tasks=[task])
        )
        total.backward()
        for first, *others in loop.model.backbone.layers:
            assert all(p.grad is not None for p in first.parameters())
            assert all(p.grad is None for other in others for p in other.parameters())


class Begun(Hook):
    """Notes the iteration at which a run begins, and its phases."""

    def __init__(self):
        self.phases = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.phases.append((runner.iter, runner.train_loop.position.phase))


EACH = {'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}}


def resumed(run, folder, stop, before, **options):
    """Stop a search before an iteration and resume it; return the runner and its phases."""
    stopped = run(folder, hooks=[Stop(stop)], loop=before, default_hooks=EACH)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    begun = Begun()
    runner = run(folder, hooks=[begun], resume=True, default_hooks=EACH, **options)
    runner.train()
    assert begun.phases[0][0] == stop
    return runner, [phase for _, phase in begun.phases]


@pytest.mark.parametrize(
    ('loop', 'stop'), [({}, 5), *(({'shared_fraction': 0.5}, stop) for stop in (2, 3, 4))]
)
def test_resumed_is_as_whole(run, tmp_path, loop, stop):
    whole = run(tmp_path / 'whole', loop=loop)
    whole.train()
    parts, _ = resumed(run, tmp_path / 'parts', stop, loop, loop=loop)
    expected, found = (runner.train_loop.model.state_dict() for runner in (whole, parts))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    texts = [(tmp_path / name / 'similarity.json').read_text() for name in ('whole', 'parts')]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])['similarities'][2][0][1] < 1


@pytest.mark.parametrize(
    ('before', 'stop', 'after', 'phases'),
    [
        (0.5, 4, {'weight_iters': 12}, ['warmup'] * 8),  # else shared again, and copied over
        (0.0, 2, {}, ['warmup'] * 4),  # as of a checkpoint from before there was a shared start
        (0.5, 2, {'shared_fraction': 0.0}, ['shared', *['warmup'] * 3]),  # else never copied
    ],
)
def test_a_resumed_search_keeps_its_shared_start(
    run, tmp_path, monkeypatch, before, stop, after, phases
):
    seen = []
    monkeypatch.setattr(branched_search_loop, 'print_log', lambda text, **_: seen.append(text))
    loop = {'shared_fraction': 0.5, **after}
    _, found = resumed(run, tmp_path, stop, {'shared_fraction': before}, loop=loop)
    assert found == phases
    told = f'began with {round(before * 6)} iterations of one shared network and keeps to them'
    assert any(told in text for text in seen)


@pytest.mark.parametrize('shared', [1, -0.1, 1.5, 'half', math.nan])
def test_shared_starts_without_meaning(run, tmp_path, shared):
    with pytest.raises(ValueError, match=r'train_cfg\.shared_fraction.*expected'):
        run(tmp_path, loop={'shared_fraction': shared}).train()


@pytest.mark.parametrize('batches', [0, 1.5, math.nan])
def test_batches_without_meaning(run, tmp_path, batches):
    with pytest.raises(ValueError, match=r'train_cfg\.batches'):
        run(tmp_path, loop={'batches': batches}).train()


def test_too_many_tasks(run, tmp_path):
    runner = run(tmp_path, tasks=TASKS)
    runner.train_loop.model.backbone.tasks = tuple('abcdefghi')
    with pytest.raises(ValueError, match='at most 8 tasks, found 9'):
        runner.train()
