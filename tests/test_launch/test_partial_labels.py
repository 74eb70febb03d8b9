"""Training and search where ranks lack different labels: none waits, all end in the same place."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine import dist
from torch.utils.data import Dataset

TASKS = ('semseg', 'human_parts', 'edge')
# Labels of each image by rank: some without people on either, on both, and without any label.
LABELS = {
    0: [TASKS, TASKS, ('semseg', 'human_parts'), ('semseg',), TASKS],
    1: [('semseg', 'edge'), TASKS, (), ('semseg',), ('edge',)],
}


class PartialImages(Dataset):
    """Images whose labels depend on the rank that loads them."""

    def __init__(self, toys):
        self.make_sample, self.metainfo = toys.sample, {'tasks': TASKS}

    def __len__(self):
        return 20

    def __getitem__(self, index):
        tasks = LABELS[dist.get_rank()][index // 4]
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 32, 32), generator=generator, dtype=torch.uint8)
        return {'inputs': image, 'data_samples': self.make_sample(tasks, (32, 32), seed=index)}


def run(kind, toys, work_dir, launcher='none'):
    """Train a branched network, or search one, for some iterations; give the model back."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    from mmbmtas.launch.ranks import adapt_to_ranks

    sgd = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.01}}
    train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': 5}
    model = toys.branched_config(TASKS)
    if kind == 'search':
        model = toys.search_config(TASKS, weight=1.0)
        train_cfg = {'type': 'BranchedSearchLoop', 'weight_iters': 6, 'warmup_iters': 2}
        train_cfg['arch_fraction'] = 0.4
        sgd = {
            'constructor': 'SearchOptimWrapperConstructor',
            'weights': sgd,
            'arch_params': {'type': 'OptimWrapper', 'optimizer': {'type': 'Adam', 'lr': 0.01}},
        }
    preprocessor = {'type': 'mmengine.ImgDataPreprocessor', 'mean': [127.5] * 3, 'std': [99] * 3}
    cfg = Config({'model': {**model, 'data_preprocessor': preprocessor}, 'launcher': launcher})
    adapt_to_ranks(cfg)
    runner = Runner(
        model=cfg.model,
        work_dir=str(work_dir),
        train_dataloader={
            'batch_size': 2,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': kind == 'search'},
            'dataset': PartialImages(toys),
        },
        train_cfg=train_cfg,
        optim_wrapper=sgd,
        default_scope='mmbmtas',
        launcher=launcher,
        randomness={'seed': 0},
        log_level='ERROR',
        experiment_name=f'{kind}-{work_dir}',
        cfg={'model_wrapper_cfg': cfg.get('model_wrapper_cfg')},
    )
    runner.train()
    return runner.model.module if launcher != 'none' else runner.model


def main(rank, folder):
    """One rank of two."""
    os.environ |= {'RANK': str(rank), 'WORLD_SIZE': '2', 'LOCAL_RANK': str(rank)}
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    spec = importlib.util.spec_from_file_location('toys', Path(__file__).parents[1] / 'toys.py')
    toys = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toys)
    for kind in ('branched', 'search'):
        model = run(kind, toys, f'{folder}/{kind}', launcher='pytorch')
        torch.save(dict(model.named_parameters()), f'{folder}/{kind}_{rank}.pth')
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_of_which_one_has_no_people(tmp_path):
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(sys.path),
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
    }
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    for kind in ('branched', 'search'):
        first, second = (torch.load(tmp_path / f'{kind}_{rank}.pth') for rank in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert all(value.isfinite().all() for value in first.values())


@pytest.mark.parametrize('kind', ['branched', 'search'])
def test_one_process(kind, toys, tmp_path):
    """The labels of the first rank: people lack in some batches, and edges in others."""
    parameters = dict(run(kind, toys, tmp_path).named_parameters())
    assert all(value.isfinite().all() for value in parameters.values())


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
