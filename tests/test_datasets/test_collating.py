"""Batches as a loader's workers hand them over."""

from collections import OrderedDict, namedtuple

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS as ROOT_FUNCTIONS
from torch.multiprocessing import reductions
from torch.utils.data import DataLoader, Dataset

from mmbmtas.datasets import collate_in_block

TASKS = ('semseg', 'normals', 'edge', 'depth')


class Samples(Dataset):
    """Samples of odd sizes, the second without a label of depth."""

    def __init__(self, toys):
        self.toys = toys

    def __len__(self):
        return 4

    def __getitem__(self, index):
        tasks, size = TASKS[: 4 - (index == 1)], (5, 7 + index)
        image = torch.full((3, *size), index, dtype=torch.uint8)
        sample = self.toys.sample(tasks, size, seed=index, img_id=f'id{index}')
        return {'inputs': image, 'data_samples': sample}


def tensors_of(batch):
    # A sample keeps its elements in a set, of no certain order.
    elements = [(key, e.data) for s in batch['data_samples'] for key, e in sorted(s.items())]
    return [('inputs', image) for image in batch['inputs']] + elements


def check_equal(batch, expected):
    assert batch.keys() == expected.keys()
    for (key, one), (other_key, other) in zip(*map(tensors_of, (batch, expected)), strict=True):
        assert key == other_key
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
        assert one.is_contiguous()
    for one, other in zip(batch['data_samples'], expected['data_samples'], strict=True):
        assert type(one) is type(other)
        assert one.metainfo == other.metainfo


def test_a_batch_of_a_worker_lies_in_one_block(toys):
    samples = Samples(toys)
    loader = DataLoader(samples, 2, num_workers=1, collate_fn=collate_in_block)
    for index, batch in enumerate(loader):
        check_equal(batch, pseudo_collate([samples[2 * index], samples[2 * index + 1]]))
        blocks = {tensor.untyped_storage().data_ptr() for _, tensor in tensors_of(batch)}
        assert len(blocks) == 1
        for number, (_, tensor) in enumerate(tensors_of(batch)):
            tensor.fill_(number)
        assert all((tensor == number).all() for number, (_, tensor) in enumerate(tensors_of(batch)))
    assert index == 1


Pair = namedtuple('Pair', 'image size')


class Odd(Dataset):
    """Samples of what a block cannot hold, or would hold for nothing."""

    cases = (
        {'a': 'text', 'b': 3},
        {'a': torch.zeros(0, 3), 'b': torch.tensor(2.5)},
        {'a': Pair(torch.ones(2), 2), 'b': OrderedDict(c=(torch.ones(1), None))},
        {'a': torch.ones(2, requires_grad=True)},
    )
    if hasattr(reductions, 'rebuild_sparse_coo_tensor'):  # torch 2.1 sends none from worker
        cases = (*cases, {'a': torch.eye(3).to_sparse()})

    def __len__(self):
        return 2 * len(self.cases)

    def __getitem__(self, index):
        return self.cases[index // 2]


def test_samples_of_other_things_come_through():
    """As they do without the block, container by container, and none waits for ever."""
    loaders = (
        DataLoader(Odd(), 2, num_workers=1, collate_fn=collate, timeout=60)
        for collate in (collate_in_block, pseudo_collate)
    )
    for ours, plain in zip(*loaders, strict=True):
        check_same(ours, plain)


def check_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = [*one.values()], [*other.values()]
    if isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            check_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one.to_dense(), other.to_dense())
    else:
        assert one == other


def test_without_workers_nothing_is_copied(toys):
    samples = [Samples(toys)[index] for index in range(2)]
    batch = collate_in_block(samples)
    check_equal(batch, pseudo_collate(samples))
    assert batch['inputs'][0] is samples[0]['inputs']


def test_configs_name_it():
    assert ROOT_FUNCTIONS.get('mmbmtas.collate_in_block') is collate_in_block


@pytest.mark.parametrize('name', ['pascal_context', 'nyud_search', 'scenes'])
def test_training_takes_it(name, pytestconfig):
    from mmengine.config import Config

    cfg = Config.fromfile(pytestconfig.rootpath / 'configs' / '_base_' / 'datasets' / f'{name}.py')
    assert cfg.train_dataloader.collate_fn.type == 'mmbmtas.collate_in_block'
