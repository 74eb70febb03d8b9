"""The search of trees by rewards: what it draws and judges, what learns, that it finds a tree."""

import math

import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.engine.controllers import Baseline
from mmbmtas.engine.randomness import Stream, generator_of
from mmbmtas.errors import DivergenceError, InputError
from mmbmtas.structures import BranchedArchitecture

TASKS = ('semseg', 'normals', 'edge')


class Watcher(Hook):
    """Keeps what each iteration did."""

    priority = 'LOWEST'

    def __init__(self):
        self.entries, self.routings = [], []

    def look(self, runner):
        backbone = runner.train_loop.model.backbone
        weights = torch.cat([p.detach().flatten() for p in backbone.weights()])
        return {'weights': weights, 'arch_params': backbone.arch_params.detach().clone()}

    def before_train(self, runner):
        backbone = runner.train_loop.model.backbone
        forward = backbone.forward_along

        def watched(x, routings):
            self.routings.append((routings, torch.is_grad_enabled()))
            return forward(x, routings)

        backbone.forward_along = watched

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        position = runner.train_loop.position
        self.entries.append({'phase': position.phase, 'before': self.look(runner)})

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.entries[-1] |= {'after': self.look(runner), 'outputs': outputs}


@pytest.fixture(scope='module')
def run(toys, search_runner):
    """Build the runner of a small search by rewards."""

    def build(folder, hooks=(), loop=None, weight=0.0, **options):
        model = toys.search_config(TASKS, toys.TINY, weight=weight)
        model['backbone']['routing'] = {'type': 'HardRouting'}
        loop = {'type': 'ReinforceSearchLoop', **(loop or {})}
        return search_runner(folder, hooks, loop, model, **options)

    return build


@pytest.fixture(scope='module')
def searched(run, tmp_path_factory):
    """A search that was watched."""
    watcher, folder = Watcher(), tmp_path_factory.mktemp('search')
    runner = run(folder, [watcher])
    runner.train()
    return runner, watcher, folder


def test_phases_train_their_own_parameters(searched):
    _, watcher, _ = searched
    assert [e['phase'] for e in watcher.entries] == ['warmup'] * 2 + (
        ['arch'] * 2 + ['weights'] * 3
    ) * 2
    for entry in watcher.entries:
        still = 'weights' if entry['phase'] == 'arch' else 'arch_params'
        assert torch.equal(entry['before'][still], entry['after'][still])
        if entry['phase'] != 'arch':
            assert not torch.equal(entry['before']['weights'], entry['after']['weights'])


def test_routings_are_drawn_by_place_and_judged_without_gradient(searched):
    runner, watcher, _ = searched
    assert len(watcher.routings) == 4
    assert all(grad is False for _, grad in watcher.routings)
    policy = runner.train_loop.policy
    uniform = type(policy)(policy.candidates, TASKS)  # the distribution of the first of them
    generator = generator_of(0, Stream.PATHS, 2, 0)
    routings, _ = watcher.routings[0]
    assert routings == {task: uniform.sample(task, generator) for task in TASKS}


def test_steps_are_those_of_reinforce(searched):
    """Adam's first step after the moments are forgotten moves against the sign of the gradient."""
    _, watcher, _ = searched
    arch = [entry for entry in watcher.entries if entry['phase'] == 'arch']
    baselines = {task: Baseline() for task in TASKS}
    for entry, (routings, _) in zip(arch, watcher.routings, strict=True):
        qualities = {task: entry['outputs'][f'{task}.quality'] for task in TASKS}
        assert all(0 <= quality <= 1 for quality in qualities.values())
        assert entry['outputs']['reward'] == pytest.approx(sum(qualities.values()) / 3)
        moved = entry['after']['arch_params'] - entry['before']['arch_params']
        for position, task in enumerate(TASKS):
            advantage = qualities[task] - baselines[task].update(qualities[task])
            chosen = torch.tensor(routings[task])[:, None]
            if entry is arch[2]:  # the first of its phase, and not the first of all
                step = moved[:, position].gather(1, chosen)
                assert (step.sign() == math.copysign(1, advantage)).all()


def test_files_and_checkpoints_are_those_of_any_search(searched, run, tmp_path):
    runner, _, folder = searched
    tree = BranchedArchitecture.load(folder / 'architecture.json')
    assert tree == runner.train_loop.model.export_architecture()
    states = runner.message_hub.runtime_info['search_baselines']
    assert {*states} == {*TASKS}
    resumed = run(tmp_path, load_from=str(folder / 'iter_10.pth'), resume=True)
    resumed.train()
    ours, theirs = (r.train_loop.model.state_dict() for r in (runner, resumed))
    assert ours.keys() == theirs.keys()
    assert 'backbone.arch_params' in ours
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert resumed.message_hub.runtime_info['search_baselines'] == states


class Planted(Hook):
    """Rewards each task for the candidates of a tree."""

    def __init__(self, tree):
        self.tree = tree

    def before_train(self, runner):
        runner.train_loop._qualities = lambda data, routings, tasks: {
            task: sum(a == b for a, b in zip(routings[task], self.tree[task], strict=True)) / 3
            for task in tasks
        }


def test_finds_the_tree_of_the_best_rewards(run, tmp_path):
    tree = {'semseg': (0, 0, 0), 'normals': (0, 0, 1), 'edge': (0, 2, 2)}
    optimisers = {
        'constructor': 'SearchOptimWrapperConstructor',
        'weights': {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.005}},
        'arch_params': {'type': 'OptimWrapper', 'optimizer': {'type': 'Adam', 'lr': 0.1}},
    }
    loop = {'weight_iters': 40, 'warmup_iters': 0, 'arch_fraction': 0.8}
    runner = run(
        tmp_path,
        [Planted(tree)],
        loop,
        optim_wrapper=optimisers,
        default_hooks={'checkpoint': None},
        loader={'batch_size': 1},
    )
    runner.train()
    backbone = runner.train_loop.model.backbone
    assert {task: backbone.routing(task) for task in TASKS} == tree
    assert float(backbone.routing_probs().amax(dim=-1).mean()) > 0.6  # it has decided


def test_the_resource_loss_pulls_tasks_together(run, tmp_path):
    class Same(Hook):
        def before_train(self, runner):
            runner.train_loop._qualities = lambda data, routings, tasks: dict.fromkeys(tasks, 0.5)

    runner = run(tmp_path, [Same()], weight=1.0)
    before = float(runner.train_loop.model.resource_losses()['loss_resource'])
    with torch.no_grad():  # leave the uniform point, where the gradient is 0
        runner.train_loop.model.backbone.arch_params[:, 0, 0] += 0.5
        before = float(runner.train_loop.model.resource_losses()['loss_resource'])
    runner.train()
    assert float(runner.train_loop.model.resource_losses()['loss_resource']) < before


class Broken(Hook):
    def before_train(self, runner):
        heads = runner.train_loop.model.decode_heads
        with torch.no_grad():
            for parameter in heads['normals'].parameters():
                parameter.fill_(math.nan)


def test_a_quality_that_is_not_finite_ends_the_search(run, tmp_path):
    with pytest.raises(DivergenceError, match=r'not finite|diverged'):
        run(tmp_path, [Broken()]).train()


def test_refuses_another_supernet(run, search_runner, tmp_path, toys):
    runner = run(tmp_path)
    loop = runner.train_loop
    backbone = loop.model.backbone
    loop.model.backbone = torch.nn.Identity()
    try:
        loader = {'dataset': loop.dataset, 'batch_size': 2, 'sampler': {'type': 'DefaultSampler'}}
        with pytest.raises(InputError, match='found Identity: search with BranchedSearchLoop'):
            type(loop)(runner, {**loader, 'num_workers': 0}, 8)
    finally:
        loop.model.backbone = backbone
