"""A search of paths on two ranks: each samples paths of its own, all learn the same (M14)."""

import multiprocessing
import os

import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.engine.controllers import Baseline

WRAPPER = {
    'type': 'MMDistributedDataParallel',
    'find_unused_parameters': True,
    'broadcast_buffers': False,
    'device_ids': None,
}
DOMAINS = ('digits', 'faces')
ITERS = 20


class Record(Hook):
    """Keeps the paths, the rewards and the gradients of the policies."""

    priority = 'LOWEST'

    def __init__(self):
        self.paths, self.qualities, self.policies = [], [], []

    def before_train(self, runner):
        model = runner.train_loop.model
        quality = model.quality

        def judged(inputs, data_samples, paths):
            self.paths.append(paths)
            return quality(inputs, data_samples, paths)

        model.quality = judged

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.qualities.append({d: float(outputs[f'{d}.quality']) for d in DOMAINS})
        policy = runner.train_loop.model.policy
        self.policies.append({name: p.detach().clone() for name, p in policy.named_parameters()})


def run_rank(rank, folder, path_runner):
    os.environ['LOCAL_RANK'] = str(rank)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    record = Record()
    runner = path_runner(
        folder / 'run',
        [record],
        {'weight_iters': ITERS, 'warmup_share': 0.1, 'val_batch_factor': 1},
        launcher='pytorch',
        cfg={'model_wrapper_cfg': WRAPPER},
    )
    runner.train()
    model = runner.train_loop.model
    found = {
        'parameters': {name: p.detach() for name, p in model.named_parameters()},
        'baselines': runner.message_hub.runtime_info['search_baselines'],
        **vars(record),
    }
    torch.save(found, folder / f'{rank}.pth')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(path_runner, tmp_path_factory):
    """What both ranks went through; a rank that waits for ever fails."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # processes that are forked cannot use their parent's threads
    folder = tmp_path_factory.mktemp('ranks')
    context = multiprocessing.get_context('fork')
    processes = [
        context.Process(target=run_rank, args=(rank, folder, path_runner)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=240)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    torch.set_num_threads(before)
    assert codes == [0, 0]
    return [torch.load(folder / f'{rank}.pth', weights_only=False) for rank in range(2)]


def test_ranks_sample_different_paths(ranks):
    first, second = (rank['paths'] for rank in ranks)
    assert len(first) == len(second) == ITERS
    for one, other in zip(first, second, strict=True):
        assert one != other


def test_parameters_stay_equal(ranks):
    first, second = (rank['parameters'] for rank in ranks)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert any(value.any() for name, value in first.items() if '.policy.' in name)


def test_baselines_learn_from_the_mean_reward(ranks):
    assert ranks[0]['baselines'] == ranks[1]['baselines']
    for domain in DOMAINS:
        baseline = Baseline()
        for pair in zip(*(rank['qualities'] for rank in ranks), strict=True):
            baseline.update(sum(quality[domain] for quality in pair) / 2)
        expected = [baseline.total, baseline.weight]
        assert ranks[0]['baselines'][domain] == pytest.approx(expected, abs=1e-9)


def test_both_ranks_move_the_policies(ranks):
    """Adam without momentum moves a logit where the mean gradient is not zero."""
    before, after = ranks[0]['policies'][2], ranks[0]['policies'][-1]
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    for one, other in zip(*(rank['policies'] for rank in ranks), strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
