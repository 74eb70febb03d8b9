"""A runner from a config: for notebooks, and what mmengine's own way says of a bare config."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmbmtas import launch

SMALL = {
    'max_iters': 2,
    'total_batch_size': 2,
    'tasks': ['semseg', 'edge'],
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
}


@pytest.fixture
def bare(pytestconfig, tmp_path, monkeypatch):
    """Read a config of ours with mmengine alone."""
    monkeypatch.chdir(tmp_path)

    def read(name):
        cfg = Config.fromfile(pytestconfig.rootpath / 'configs' / name)
        cfg.experiment_name = tmp_path.name + name.replace('/', '_')
        return cfg

    return read


def test_a_notebook_trains(bare, scenes_roots, toys, tmp_path):
    cfg = bare('branched_scenes.py')
    cfg.merge_from_dict({**SMALL, 'data_root': str(scenes_roots['pascal'])})
    encoder = cfg.model.backbone.encoder.to_dict()
    cfg.architecture = toys.random_tree(['semseg', 'edge'], encoder).to_dict()
    runner = launch.build_runner(cfg)
    runner.train()
    assert runner.iter == 2
    assert runner.model.tasks == ('semseg', 'edge')
    assert runner.work_dir == str(tmp_path / 'work_dirs/branched_scenes')
    assert (tmp_path / 'work_dirs/branched_scenes/iter_2.pth').is_file()


@pytest.mark.parametrize(
    ('name', 'missing'),
    [
        ('branched_scenes.py', 'model.backbone.architecture'),
        ('search_scenes.py', 'model.backbone.tasks'),
        ('exchange/mtan_scenes.py', 'model.backbone.tasks'),
        ('exchange/nddr_scenes.py', 'model.backbone.tasks'),
        ('exchange/cross_stitch_scenes.py', 'model.backbone.tasks'),
        ('plain_encoder_decoder.py', 'model.backbone.architecture'),
    ],
)
def test_a_bare_config_says_what_is_missing(bare, name, missing):
    cfg = bare(name)
    cfg.work_dir = 'work'
    with pytest.raises(ValueError, match=rf'{missing} is missing.*launch\.build_runner'):
        Runner.from_cfg(cfg)


def test_a_folder_that_does_not_exist(bare, tmp_path):
    cfg = bare('branched_scenes.py')
    cfg.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r"data_root = '.*nowhere' \(train_dataloader"):
        launch.build_runner(cfg)
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize('root', ['s3://bucket/scenes', None])
def test_other_places_are_left_to_the_data_set(bare, root):
    cfg = bare('branched_scenes.py')
    for name in launch.TRAINING_DATA:
        cfg[name].dataset.data_root = root
    launch.require_data(cfg, *launch.TRAINING_DATA)
