"""The log of a run: its story on a page, with the details beside it."""

import warnings
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from mmbmtas import launch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_found():
    """Forget the scopes, loggers and filters of warnings that a run leaves behind."""
    scopes, loggers = DefaultScope._instance_dict.copy(), MMLogger._instance_dict.copy()
    with warnings.catch_warnings():
        yield
    for found, before in ((DefaultScope, scopes), (MMLogger, loggers)):
        found._instance_dict.clear()
        found._instance_dict.update(before)


@pytest.fixture
def search(scenes_roots, tmp_path):
    """Build the runner of a short search, and return it with the file of its log."""

    def build(**options):
        settings = {
            'data_root': str(scenes_roots['pascal']),
            'weight_iters': 2,
            'tasks': ['semseg', 'edge'],
            'total_batch_size': 2,
        }
        loader = {'num_workers': 0, 'persistent_workers': False}
        settings |= {f'train_dataloader.{key}': value for key, value in loader.items()}
        settings |= {'train_cfg.warmup_iters': 1, 'default_hooks.logger.interval': 1, **options}
        cfg = launch.read_config(str(ROOT / 'configs/search_scenes.py'), settings)
        cfg.launcher, cfg.work_dir = 'none', str(tmp_path / 'work')
        runner = launch.build_runner(launch.prepare_config(cfg), strict=False)
        (log,) = Path(runner.log_dir).glob('*.log')
        return runner, log

    return build


def test_a_short_search_is_told_on_a_page(search):
    runner, log = search()
    runner.train()
    lines = log.read_text().splitlines()
    told = [line for line in lines if 'Iter(train)' not in line]
    assert len(lines) - len(told) == runner.train_loop.max_iters
    assert len(told) <= 15
    assert all(' - mmengine - ' in line for line in lines)
    assert not [line for line in lines if 'WARNING' in line]
    # What the log had before lies beside it.
    (environment,) = log.parent.glob('environment.txt')
    assert 'seed: 0\n' in environment.read_text()
    assert 'CheckpointHook' in (log.parent / 'hooks.txt').read_text()
    names = [line.partition(' ')[0] for line in _lines(log.parent / 'initialization.txt')]
    assert names == [name for name, _ in runner.model.named_parameters()]
    config = Config.fromfile(Path(runner.work_dir) / 'search_scenes.py')
    assert config.weight_iters == 2
    assert 'search_scenes.py' in lines[0]
    # Warnings that a user can act on stay.
    runner.logger.warning('the disk is nearly full')
    assert 'the disk is nearly full' in log.read_text()


def test_at_the_level_debug_all_is_in_the_log(search):
    runner, log = search(log_level='DEBUG')
    runner._init_model_weights()
    text = log.read_text()
    for words in (
        'System environment:',
        'Config:\n',
        'Hooks will be executed',
        'Name of parameter',
    ):
        assert words in text


def test_only_warnings_that_tell_a_user_nothing_are_left_out(search):
    search()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filters.insert(1, warnings.filters.pop(0))
        for module in ('mmengine.optim.x', 'users.code', 'torchvision_like'):
            for category in (FutureWarning, UserWarning):
                warnings.warn_explicit(f'{category.__name__} of {module}', category, 'f', 1, module)
    told = {str(warning.message) for warning in caught}
    assert 'FutureWarning of mmengine.optim.x' not in told
    assert 'UserWarning of mmengine.optim.x' in told
    assert {'FutureWarning of users.code', 'FutureWarning of torchvision_like'} <= told


def _lines(path):
    return path.read_text().splitlines()
