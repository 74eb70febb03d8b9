"""A runner of small searches and retrainings, in this process."""

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmengine.structures import LabelData

from mmbmtas.datasets import ConcatDataset
from mmbmtas.structures.data_sample import MultiTaskDataSample

TASKS = ('semseg', 'normals', 'edge')
HOOKS = [
    {'type': 'TemperatureHook', 'start': 5.0, 'end': 0.1},
    {'type': 'OptimizerStateResetHook'},
    {'type': 'SearchBatchNormHook'},
    {'type': 'ArchitectureLoggerHook', 'interval': 4},
    {'type': 'ArchitectureExportHook'},
]


class RandomImages(torch.utils.data.Dataset):
    """Noise with labels."""

    def __init__(self, toys, count=10, tasks=TASKS):
        self.sample, self.count, self.tasks = toys.sample, count, tasks
        self.metainfo = {'classes': {}}

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 32, 32), generator=generator, dtype=torch.uint8)
        sample = self.sample(self.tasks, (32, 32), seed=index, img_id=index)
        return {'inputs': image, 'data_samples': sample}


class DomainImages(BaseDataset):
    """Images of a domain whose label is their colour, under noise drawn anew each time."""

    METAINFO = {'classes': {}}  # noqa: RUF012

    def __init__(self, domain, count=24):
        self.domain, self.count = domain, count
        super().__init__(metainfo={'tasks': (domain,)})

    def load_data_list(self):
        return [{'number': number} for number in range(self.count)]

    def __getitem__(self, index):
        label = index % 3
        image = torch.from_numpy(np.random.randint(128, size=(3, 32, 32), dtype=np.uint8))
        image[label] += 100
        sample = MultiTaskDataSample(metainfo={'img_shape': (32, 32), 'ori_shape': (32, 32)})
        sample.set_data({f'gt_{self.domain}': LabelData(label=torch.tensor([label]))})
        return {'inputs': image, 'data_samples': sample}


@pytest.fixture(scope='module')
def make_runner(toys):
    """Build a runner in a work directory from its model, loop and optimiser."""

    def make(work_dir, model, train_cfg, optim_wrapper, **options):
        preprocessor = {
            'type': 'BatchPreprocessor',
            'mean': [127.5] * 3,
            'std': [127.5] * 3,
            'bgr_to_rgb': True,
        }
        hooks = {
            'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 5},
            'logger': {'type': 'LoggerHook', 'interval': 4},
            **options.pop('default_hooks', {}),
        }
        dataset = options.pop('dataset', None) or RandomImages(toys)
        loader = {
            'batch_size': 2,
            'num_workers': 0,
            'dataset': dataset,
            'sampler': {'type': 'DefaultSampler', 'shuffle': True},
            **options.pop('loader', {}),
        }
        return Runner(
            model={**model, 'data_preprocessor': preprocessor},
            work_dir=str(work_dir),
            train_dataloader=loader,
            train_cfg=train_cfg,
            optim_wrapper=optim_wrapper,
            default_hooks=hooks,
            randomness=options.pop('randomness', {'seed': 0}),
            default_scope='mmbmtas',
            log_processor={'by_epoch': False},
            log_level='ERROR',
            visualizer={
                'type': 'mmengine.Visualizer',
                'vis_backends': [{'type': 'LocalVisBackend'}],
            },
            experiment_name=f'{work_dir}-{id(loader)}',
            **options,
        )

    return make


@pytest.fixture(scope='module')
def search_runner(toys, make_runner):
    """Build the runner of a small search: 2 of warm-up, 2 passes of 2 + 3 iterations."""

    def make(work_dir, hooks=(), loop=None, model=None, **options):
        return make_runner(
            work_dir,
            model or toys.search_config(TASKS, weight=1.0),
            {
                'type': 'BranchedSearchLoop',
                'weight_iters': 8,
                'warmup_iters': 2,
                'arch_fraction': 0.4,
                **(loop or {}),
            },
            options.pop(
                'optim_wrapper',
                {
                    'constructor': 'SearchOptimWrapperConstructor',
                    'weights': {
                        'type': 'OptimWrapper',
                        'optimizer': {'type': 'SGD', 'lr': 0.005, 'momentum': 0.9},
                    },
                    'arch_params': {
                        'type': 'OptimWrapper',
                        'optimizer': {'type': 'Adam', 'lr': 0.01, 'weight_decay': 5e-5},
                    },
                },
            ),
            custom_hooks=[*HOOKS, *hooks],
            default_hooks={
                'param_scheduler': {'type': 'SearchParamSchedulerHook'},
                **options.pop('default_hooks', {}),
            },
            param_scheduler={
                'weights': [
                    {'type': 'PolyLR', 'power': 0.9, 'eta_min': 0, 'by_epoch': False, 'end': 9}
                ],
                'arch_params': [],
            },
            **options,
        )

    return make


@pytest.fixture(scope='module')
def path_runner(toys, make_runner):
    """Build the runner of a small search of paths: 8 iterations, of which 2 are warm-up."""

    def make(work_dir, hooks=(), loop=None, domains=('digits', 'faces'), backbone=None, **options):
        sets = options.pop('datasets', None) or [DomainImages(domain) for domain in domains]
        model = toys.path_search_config([*domains], **(backbone or {}))
        return make_runner(
            work_dir,
            {**model, **options.pop('model', {})},
            {
                'type': 'PathSearchLoop',
                'weight_iters': 8,
                'arch_fraction': 0.34,
                **({} if (loop or {}).get('type') else {'val_batch_factor': 2}),
                **(loop or {}),
            },
            {
                'constructor': 'SearchOptimWrapperConstructor',
                'weights': {'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': 3e-3}},
                'arch_params': {
                    'type': 'OptimWrapper',
                    'optimizer': {'type': 'Adam', 'lr': 0.05, 'betas': (0.0, 0.999)},
                },
                **options.pop('optim_wrapper', {}),
            },
            custom_hooks=[
                {'type': 'ArchitectureLoggerHook', 'interval': 4},
                {'type': 'ArchitectureExportHook'},
                *hooks,
            ],
            dataset=ConcatDataset(sets),
            loader={
                'batch_size': 2 * len(domains),
                'sampler': {'type': 'DomainSampler'},
                **options.pop('loader', {}),
            },
            **options,
        )

    return make
