"""Balanced losses and aggregated gradients on two ranks: alike on both, and as in one process."""

import copy
import multiprocessing

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from mmbmtas.engine.optimizers import JacobianOptimWrapper

pytest.importorskip('torchjd', reason='TorchJD is not installed')
pytestmark = pytest.mark.slow
TASKS = ('semseg', 'normals', 'edge')
STEPS = 3
# Name: wrapper's aggregator, loss_balancing, tasks that the second rank has labels of.
CASES = {
    'sum': ('Sum', None, TASKS),
    'drawn': ('Random', None, TASKS),
    'partial': ('Sum', None, TASKS[:2]),
    'partial, ordinary': (None, None, TASKS[:2]),
    'uncertainty': (None, {'type': 'UncertaintyWeighting'}, TASKS),
    'dwa': (None, {'type': 'DynamicWeightAverage', 'window': 1}, TASKS),
    'gradnorm': (None, {'type': 'GradNorm'}, TASKS),
}


def build(toys, balancing):
    """A network whose losses do not depend on how a batch is divided: no batch statistics."""
    torch.manual_seed(0)
    config = toys.branched_config(TASKS, tree=toys.random_tree(TASKS, seed=2))
    model = toys.build({**config, 'loss_balancing': balancing}).eval()
    toys.randomise(model)
    if balancing:
        model.loss_balancing.train()
    return model


def batches(toys, tasks):
    """Of each step the images and labels of both ranks; ``tasks`` are the second's."""
    for seed in range(STEPS):
        images, samples = toys.batch(TASKS, (32, 32), count=4, seed=10 * seed)
        samples[2:] = [toys.sample(tasks, (32, 32), seed=10 * seed + i) for i in (2, 3)]
        yield images, samples


def train(toys, case, ranks=slice(None), wrap=lambda model: model):
    """Train as a case says on the images ``ranks``; give the model's state back."""
    aggregator, balancing, tasks = CASES[case]
    model = build(toys, balancing)
    wrapped = wrap(model)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    wrapper = (
        JacobianOptimWrapper({'type': aggregator}, optimizer=sgd)
        if aggregator
        else OptimWrapper(sgd)
    )
    torch.manual_seed(ranks.start or 0)  # what aggregators draw differs between ranks
    for images, samples in batches(toys, tasks):
        data = {'inputs': images[ranks], 'data_samples': copy.deepcopy(samples[ranks])}
        wrapped.train_step(data, wrapper)
    return {key: value for key, value in model.state_dict().items() if value.is_floating_point()}


def run_rank(rank, toys, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )

    def wrap(model):
        return MMDistributedDataParallel(
            model, find_unused_parameters=True, broadcast_buffers=False
        )

    own = slice(2 * rank, 2 * rank + 2)
    results = {case: train(toys, case, own, wrap) for case in CASES}
    torch.save(results, f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def ranks(toys, tmp_path_factory):
    """What both ranks end with, by case."""
    folder = tmp_path_factory.mktemp('ranks')
    context = multiprocessing.get_context('fork')
    processes = [context.Process(target=run_rank, args=(rank, toys, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0, 0]
    return [torch.load(folder / f'{rank}.pth') for rank in range(2)]


@pytest.mark.parametrize('case', CASES)
def test_ranks_end_alike(ranks, case):
    first, second = (rank[case] for rank in ranks)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value.nan_to_num(), second[name].nan_to_num()), name
        assert value.isfinite().all() or 'balancing' in name


@pytest.mark.parametrize('case', ['sum', 'uncertainty', 'dwa', 'gradnorm'])
def test_two_ranks_equal_the_joint_batch(ranks, toys, case):
    expected = train(toys, case)
    for name, value in ranks[0][case].items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-4, atol=1e-5, equal_nan=True, msg=f'{case}: {name}'
        )


def test_a_rank_without_labels_counts_as_in_an_ordinary_run(ranks):
    expected = ranks[0]['partial, ordinary']
    for name, value in ranks[0]['partial'].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6, msg=name)
