"""Config files that set names over their base: which entries they reach."""

import logging

import pytest
from mmbmtas.engine.inherited import inherited_values, read_names
from mmengine.config import Config

from mmbmtas.engine import launch, overrides


@pytest.fixture
def derive(tmp_path, pytestconfig):
    """Write a config over one of ours, or over another written one, and read it."""

    def write(text, base='search_scenes.py', name='own.py'):
        base = tmp_path / base
        if not base.is_file():
            base = pytestconfig.rootpath / 'configs' / base.name
        path = tmp_path / name
        path.write_text(f'_base_ = {str(base)!r}\n{text}\n')
        return launch.read_config(str(path))

    return write


def test_the_data(derive):
    cfg = derive("data_root = 'elsewhere'")
    for name in ('train', 'val', 'test'):
        assert cfg[f'{name}_dataloader'].dataset.data_root == 'elsewhere'


def test_what_the_file_sets_itself_stands(derive):
    cfg = derive("data_root = 'a'\nval_dataloader = dict(dataset=dict(data_root='b'))")
    roots = [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')]
    assert roots == ['a', 'b', 'a']


def test_the_length_of_a_search(derive):
    assert derive('weight_iters = 7').train_cfg.weight_iters == 7
    own = 'weight_iters = 7\ntrain_cfg = dict(weight_iters=9)'
    assert derive(own).train_cfg.weight_iters == 9


def test_the_length_of_a_training_and_its_schedulers(derive):
    cfg = derive('max_iters = 33', 'branched_pascal.py')
    assert cfg.train_cfg.max_iters == 33
    assert [scheduler.end for scheduler in cfg.param_scheduler] == [33]


def test_the_tasks(derive):
    cfg = derive("tasks = ['semseg', 'edge']")
    assert [*cfg.model.decode_heads] == cfg.model.backbone.tasks == ['semseg', 'edge']
    assert cfg.train_dataloader.dataset.tasks == ['semseg', 'edge']


def test_a_chain_of_files(derive):
    derive("data_root = 'one'\nweight_iters = 5", name='middle.py')
    assert derive('', 'middle.py').train_cfg.weight_iters == 5
    cfg = derive("data_root = 'two'", 'middle.py')
    assert cfg.train_dataloader.dataset.data_root == 'two'


def test_names_without_effect_are_logged(derive, monkeypatch):
    found = []

    def log(message, logger, level):
        assert (logger, level) == ('current', logging.WARNING)
        found.append(message)

    monkeypatch.setattr(overrides, 'print_log', log)
    derive('crop_size = (96, 96)', 'branched_scenes.py')
    (message,) = found
    assert 'crop_size = ... has no effect in ' in message
    assert 'Set these entries: train_dataloader.dataset.pipeline.' in message
    found.clear()
    derive('crop_size = (96, 96)\nrandomness = dict(seed=3)\nmine = dict(size=crop_size)\nnew = 1')
    assert found == []


@pytest.mark.parametrize('name', ['broken.py', 'config.json', 'lost.py'])
def test_other_files_have_no_names(tmp_path, name):
    path = tmp_path / name
    if name != 'lost.py':
        path.write_text('{"_base_": {{ }')
    names = read_names(path)
    assert names.values == {}
    assert inherited_values(names) == {}


def test_a_config_of_no_file_stays():
    cfg = Config({'data_root': 'a', 'train_dataloader': {'dataset': {'data_root': 'b'}}})
    before = cfg.to_dict()
    overrides.settle_inherited(cfg)
    assert cfg.to_dict() == before
