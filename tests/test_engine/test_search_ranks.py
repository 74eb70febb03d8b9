"""Searches and trainings on two ranks: alike after every step, and as one process would do them."""

import hashlib
import multiprocessing
import os
from functools import cache

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}}
WRAPPER = {
    'type': 'MMDistributedDataParallel',
    'find_unused_parameters': True,
    'broadcast_buffers': False,
    'device_ids': None,
}
# Name: whether it is a search, the tasks that the second rank has labels of, and options.
CASES = {
    'search': (True, TASKS, {}),
    'partial search': (True, TASKS[:2], {}),
    'hard search': (True, TASKS, {'backbone': {'routing': {'type': 'HardRouting'}}}),
    'search with a noise for each rank': (True, TASKS, {'randomness': {'diff_rank_seed': True}}),
    'search by Adam': (True, TASKS, {'arch_params': {'type': 'Adam', 'lr': 0.01}}),
    'training': (False, TASKS, {}),
    'partial training': (False, TASKS[:2], {}),
}
LIKE_ONE_PROCESS = ('search', 'hard search', 'training')
FAST = ('search', 'partial search', 'training')


class AugmentedImages(torch.utils.data.Dataset):
    """Noise with labels, and more noise anew in each draw; one rank may lack labels."""

    metainfo = {'classes': {}}  # noqa: RUF012

    def __init__(self, toys, tasks):
        self.sample, self.tasks = toys.sample, tasks

    def __len__(self):
        return 16

    def __getitem__(self, index):
        noise = np.random.randint(64, size=(3, 32, 32), dtype=np.uint8)
        image = torch.randint(128, (3, 32, 32), dtype=torch.uint8) + torch.from_numpy(noise)
        return {'inputs': image, 'data_samples': self.sample(self.tasks, (32, 32), seed=index)}


class Record(Hook):
    """Keeps every step's gradients and what each iteration ends with; lets no batch matter."""

    priority = 'LOWEST'

    def __init__(self):
        self.gradients, self.arch_params, self.digests = [], [], []

    def before_train(self, runner):
        wrappers = runner.optim_wrapper
        for wrapper in wrappers.values() if hasattr(wrappers, 'values') else [wrappers]:
            wrapper.optimizer.register_step_pre_hook(self.keep_gradients)

    def keep_gradients(self, optimizer, *_):
        grads = [p.grad for group in optimizer.param_groups for p in group['params']]
        self.gradients.append([None if g is None else g.clone() for g in grads])

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm | nn.Dropout):
                module.eval()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        model = getattr(runner.model, 'module', runner.model)
        if hasattr(model.backbone, 'arch_params'):
            self.arch_params.append(model.backbone.arch_params.detach().clone())
        digest = hashlib.sha256()
        for parameter in model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        self.digests.append(digest.hexdigest())


def run(case, toys, make_runner, search_runner, folder, batch_size, **options):
    is_search, tasks, settings = CASES[case]
    record = Record()
    options |= {
        'dataset': AugmentedImages(toys, tasks if get_rank() else TASKS),
        'loader': {'batch_size': batch_size},
        'randomness': {'seed': 0, **settings.get('randomness', {})},
    }
    if is_search:
        model = toys.search_config(TASKS, toys.TINY, weight=10.0)
        model['backbone'] |= settings.get('backbone', {})
        optimizer = settings.get('arch_params', {'type': 'SGD', 'lr': 1.0})
        options['optim_wrapper'] = {
            'constructor': 'SearchOptimWrapperConstructor',
            'weights': SGD,
            'arch_params': {'type': 'OptimWrapper', 'optimizer': optimizer},
        }
        loop = {'weight_iters': 5, 'warmup_iters': 1, 'arch_fraction': 0.5}
        runner = search_runner(folder, [record], loop, model, **options)
    else:
        model = toys.branched_config(TASKS, toys.TINY)
        loop = {'type': 'IterBasedTrainLoop', 'max_iters': 5}
        runner = make_runner(folder, model, loop, SGD, custom_hooks=[record], **options)
    runner.train()
    return {
        'gradients': record.gradients,
        'arch_params': record.arch_params,
        'digests': record.digests,
    }


def run_rank(rank, folder, cases, *builders):
    os.environ['LOCAL_RANK'] = str(rank)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    options = {'launcher': 'pytorch', 'cfg': {'model_wrapper_cfg': WRAPPER}}
    results = {
        case: run(case, *builders, folder / case.replace(' ', '_'), 2, **options) for case in cases
    }
    torch.save(results, f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def builders(toys, make_runner, search_runner):
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # processes that are forked cannot use their parent's threads
    yield toys, make_runner, search_runner
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def ranks(builders, tmp_path_factory):
    """What both ranks went through in a case; a rank that waits for ever fails."""

    @cache
    def train(cases):
        folder = tmp_path_factory.mktemp('ranks')
        context = multiprocessing.get_context('fork')
        processes = [
            context.Process(target=run_rank, args=(rank, folder, cases, *builders))
            for rank in range(2)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=240)
        codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
        assert codes == [0, 0]
        return [torch.load(folder / f'{rank}.pth') for rank in range(2)]

    def get(case):
        others = tuple(other for other in CASES if other not in FAST)
        return [rank[case] for rank in train(FAST if case in FAST else others)]

    return get


def some_slow(cases):
    return [pytest.param(c, marks=[] if c in FAST else pytest.mark.slow) for c in cases]


@pytest.mark.parametrize('case', some_slow(CASES))
def test_ranks_are_alike_after_every_iteration(ranks, case):
    first, second = ranks(case)
    assert first['digests'] == second['digests']
    assert len({*first['digests']}) == len(first['digests']) == (9 if CASES[case][0] else 5)


@pytest.mark.parametrize('case', some_slow(LIKE_ONE_PROCESS))
def test_gradients_are_those_of_the_joint_batch(ranks, case, builders, tmp_path):
    """Those of every step: with the same images, augmentations and noise as in one process."""
    alone = run(case, *builders, tmp_path, 4)
    found, _ = ranks(case)
    assert len(found['gradients']) == len(alone['gradients'])
    for step, pair in enumerate(zip(found['gradients'], alone['gradients'], strict=True)):
        for value, expected in zip(*pair, strict=True):
            value, expected = (torch.zeros(()) if g is None else g for g in (value, expected))
            torch.testing.assert_close(
                value.expand_as(expected), expected, rtol=1e-4, atol=1e-6, msg=f'{case}, {step}'
            )
    for value, expected in zip(found['arch_params'], alone['arch_params'], strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_noise_for_each_rank_changes_the_search(ranks):
    one, other = (
        ranks(case)[0]['arch_params'][-1]
        for case in ('search', 'search with a noise for each rank')
    )
    # Candidates start alike, so after two iterations of warm-up their gradients are small.
    assert not torch.allclose(one, other, rtol=1e-2, atol=0)
