"""What an iteration may ask of a GPU: waits, launches and bytes, counted on a pretended one.

docs/performance.md lists the waits.
"""

import importlib
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.005, 'momentum': 0.9}}
LOOKS = {
    '_to_copy in fetch': 1,  # the losses, before a step
    '_local_scalar_dense in after_train_iter': 1,  # NonFiniteGradientHook
}


class Counting(Hook):
    """Counts what each iteration asks for."""

    priority = 'LOW'  # before checkpoints are written

    def __init__(self, waits, pretence, last):
        self.waits, self.pretence, self.last, self.found = waits, pretence, last, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.waits.clear()
        self.pretence.launched.clear()
        self.pretence.copied.clear()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        phase = getattr(getattr(runner.train_loop, 'position', None), 'phase', 'weights')
        launches, copied = self.pretence.launched.total(), self.pretence.copied['bytes']
        self.found.append((phase, Counter(self.waits), launches, copied))
        if phase == self.last:
            runner.train_loop.stop_training = True


@pytest.fixture
def count(pretence):
    """Train on a pretended GPU; give phase, waits, launches and bytes of each iteration."""

    def train(build, work_dir, last=None, **options):
        seldom = {'interval': 1000}
        with pretence.pretend_gpu() as waits:
            counting = Counting(waits, pretence, last)
            runner = build(
                work_dir,
                default_hooks={
                    'gradients': {'type': 'NonFiniteGradientHook'},
                    'logger': {'type': 'LoggerHook', **seldom},
                    'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, **seldom},
                },
                **options,
            )
            # What looks at the architecture now and then is not of an iteration.
            runner._hooks = [h for h in runner.hooks if 'Architecture' not in type(h).__name__]
            runner.register_hook(counting)
            runner.train()
        return counting.found

    return train


def test_waits_of_a_search(toys, count, search_runner, tmp_path):
    """One before each step, and one for the gradients. Labels are looked at before they go."""
    rows = count(
        search_runner,
        tmp_path,
        model=toys.search_config(TASKS, toys.TINY, weight=1.0),
        loop={'weight_iters': 3, 'warmup_iters': 1},
    )
    assert {phase for phase, *_ in rows} == {'warmup', 'arch', 'weights'}
    for phase, waits, *_ in rows:
        steps = 1 if phase == 'arch' else len(TASKS)
        assert waits == LOOKS | {'_to_copy in fetch': steps}, phase


@pytest.mark.parametrize(
    'resource',
    [
        {'expectation': 'recursive', 'target_madds': 5e5},
        {'expectation': 'sampled', 'target_madds': 5e5, 'budgeted': 'argmax'},
        {'latency': True},
        {'latency': True, 'expectation': 'sampled', 'target_latency_ms': 14, 'budgeted': 'argmax'},
    ],
    ids=str,
)
def test_no_resource_loss_waits(toys, pretence, resource):
    if resource.pop('latency', False):
        resource['latency'] = toys.latency_table(TASKS, toys.TINY)
    model = toys.build(toys.search_config(TASKS, toys.TINY, **resource))
    model.resource_losses()
    with pretence.pretend_gpu() as waits:
        model.to('cuda')
        model.resource_losses()  # tables go there once
        waits.clear()
        model.resource_losses()['loss_resource'].backward()
        assert not waits


def test_waits_of_a_retraining(toys, count, make_runner, tmp_path):
    rows = count(
        make_runner,
        tmp_path,
        model=toys.branched_config(TASKS, toys.TINY),
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 2},
        optim_wrapper=SGD,
    )
    assert [waits for _, waits, *_ in rows] == [LOOKS] * 2
    # Images in bytes, labels as they are: int64, but for the normals.
    pixels = 2 * 32 * 32
    assert [copied for *_, copied in rows] == [pixels * (3 + 8 + 3 * 4 + 8)] * 2


@pytest.mark.parametrize('cost', ['sampled', 'expected'])
def test_waits_of_a_search_of_paths(count, path_runner, tmp_path, cost):
    """Paths are drawn on the CPU, and rewards computed there."""
    rows = count(
        path_runner,
        tmp_path,
        loop={'weight_iters': 2, 'warmup_share': 0.0, 'target_madds': 800_000, 'cost': cost},
    )
    looks = LOOKS | {'_to_copy in sample_all': 1, 'tolist in quality': 1}
    assert [waits for _, waits, *_ in rows] == [looks] * 2


def test_qualities_of_maps_are_fetched_once(toys, pretence):
    domains = {'rooms': ['semseg', 'depth'], 'roads': ['edge', 'normals'], 'digits': ['digits']}
    model = toys.build(toys.path_search_config(domains)).train()
    paths = model.sample_paths(torch.Generator().manual_seed(0))
    images, samples = toys.domain_batch(domains, (32, 32))
    with pretence.pretend_gpu() as waits:
        model.to('cuda')
        there = images.to('cuda'), [sample.to('cuda') for sample in samples]
        waits.clear()
        model.quality(*there, paths)
        assert waits == ['tolist in quality']


def test_launches_of_an_architecture_iteration(
    toys, pretence, monkeypatch, count, search_runner, tmp_path
):
    """At most 40 % of those of a supernet as the original one is, optimiser and losses included."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    importlib.import_module('benchmarking.plain')
    launches = {}
    for kind in ('BranchedSupernet', 'PlainSupernet'):
        model = toys.search_config(TASKS, toys.MOBILENET, weight=1.0)
        model['backbone']['type'] = kind
        if kind == 'PlainSupernet':
            model['resource_loss'] = {'type': 'PlainResourceLoss', 'weight': 1.0}
        loop = {'weight_iters': 1, 'warmup_iters': 0}
        rows = count(search_runner, tmp_path / kind, last='arch', model=model, loop=loop)
        phase, _, launches[kind], _ = rows[-1]
        assert phase == 'arch'
    assert launches['BranchedSupernet'] <= 0.4 * launches['PlainSupernet'], launches
