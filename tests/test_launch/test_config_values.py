"""Values without meaning are refused by name."""

import pytest
from mmengine.config import Config

from mmbmtas import launch
from mmbmtas.launch.config_values import check_values

SEARCH = 'configs/search_scenes.py'
WRONG = [
    *(('train_cfg.warmup_iters', value) for value in (0.5, -1, 'many', True)),
    *(('train_cfg.arch_fraction', value) for value in (0, 1, -0.2, float('nan'), '0.2')),
    *(('weight_iters', value) for value in (0, -4, 2.0)),
    *(('total_batch_size', value) for value in (0, -2, 1.5, '8')),
    ('train_dataloader.batch_size', 0),
    ('val_dataloader.batch_size', -1),
    ('test_dataloader.num_workers', 'abc'),
    ('train_dataloader.num_workers', -1),
    ('train_cfg.split_seed', -1),
    ('randomness.seed', 'abc'),
    ('randomness.seed', 2**32),
    ('randomness.deterministic', 'maybe'),
    ('optim_wrapper.weights.clip_grad', {'max_norm': 'abc'}),
    ('optim_wrapper.weights.optimizer.lr', 'fast'),
    ('optim_wrapper.arch_params.optimizer.lr', -0.1),
    ('optim_wrapper.weights.accumulative_counts', 0),
    ('load_from', 5),
    ('pretrained', 5),
    ('data_root', 3),
    ('work_dir', 2024),
    ('tasks', 3),
    ('tasks', [['semseg']]),
]


@pytest.mark.parametrize(('name', 'value'), WRONG)
def test_values_without_meaning(pytestconfig, name, value):
    with pytest.raises(ValueError, match=rf'{name}.*=.*: expected (a|True)'):
        launch.read_config(str(pytestconfig.rootpath / SEARCH), {name: value})


def test_a_tree_is_a_file_or_a_dict():
    for value in (5, ['tree.json']):
        with pytest.raises(
            ValueError, match=r'architecture=.*: expected an architecture or its file'
        ):
            check_values({'architecture': value})
    check_values({'architecture': 'tree.json', 'model': {'backbone': {'architecture': {}}}})


def test_the_bounds_themselves_are_fine():
    cfg = {
        'train_cfg': {'warmup_iters': 0, 'max_iters': 1, 'val_interval': 1, 'val_begin': 0},
        'train_dataloader': {'batch_size': 1, 'num_workers': 0, 'prefetch_factor': None},
        'randomness': {'seed': 2**32 - 1},
        'load_from': None,
    }
    check_values(cfg)
    check_values(Config(cfg))
