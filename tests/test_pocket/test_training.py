"""The pocket domains through the configs: searched, trained and scored."""

import json
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.errors import InputError
from mmbmtas.structures import PathArchitecture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def data(layouts, tmp_path_factory):
    return layouts.write_pocket(tmp_path_factory.mktemp('data'))


def runner(config, data, work_dir, **options):
    options = {
        'data_root': str(data),
        'work_dir': str(work_dir),
        'tasks': ['digits', 'faces'],
        'total_batch_size': 4,
        **options,
    }
    cfg = launch.read_config(str(ROOT / config), options)
    cfg.work_dir = str(work_dir)
    init_default_scope(cfg.default_scope)
    return launch.build_runner(cfg)


def test_paths_are_searched_trained_and_scored(data, tmp_path):
    search = runner('configs/mpnas/search_pocket.py', data, tmp_path / 'search', weight_iters=3)
    search.train()
    found = tmp_path / 'search/architecture.json'
    paths = PathArchitecture.load(found)
    assert paths.domains == ('digits', 'faces')
    training = runner(
        'configs/mpnas/paths_pocket.py',
        data,
        tmp_path / 'paths',
        architecture=str(found),
        max_iters=2,
        **{'train_cfg.val_interval': 2},
    )
    training.train()
    assert training.model.backbone.architecture == paths
    results = training.test()
    assert {*results} == {'digits/top1', 'faces/top1', 'top1'}
    assert results['top1'] == pytest.approx((results['digits/top1'] + results['faces/top1']) / 2)


def test_a_batch_must_have_as_many_images_of_each_domain(data, tmp_path):
    training = runner('configs/mpnas/paths_pocket.py', data, tmp_path, total_batch_size=5)
    with pytest.raises(InputError, match=r'batch_size 5: DomainSampler gives 2 domains'):
        training.train()


def test_domains_of_which_there_is_no_path_are_narrowed_away(data, tmp_path):
    full = json.loads((ROOT / 'configs/architectures/pocket_paths.json').read_text())
    own = PathArchitecture.from_dict(full).for_tasks(['faces'])
    own.save(tmp_path / 'faces.json')
    cfg = launch.read_config(
        str(ROOT / 'configs/mpnas/paths_pocket.py'), {'architecture': str(tmp_path / 'faces.json')}
    )
    cfg.launcher = 'none'
    cfg = launch.prepare_config(cfg)
    assert [*cfg.model.decode_heads] == ['faces']
    assert [part.domain for part in cfg.train_dataloader.dataset.datasets] == ['faces']
    assert [metric['task'] for metric in cfg.test_evaluator['metrics']] == ['faces']
