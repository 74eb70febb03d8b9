"""Overrides of the command line: what they reach, and which are refused."""

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.launch.overrides import apply_overrides
from mmbmtas.registry import MODELS

SEARCH = 'configs/search_scenes.py'
PARTIAL = 'configs/branched_scenes_partial.py'


@pytest.fixture
def read(pytestconfig):
    return lambda config, **options: launch.read_config(
        str(pytestconfig.rootpath / config), options
    )


class TestTasks:
    def test_a_search_of_some(self, read):
        cfg = read(SEARCH, tasks=['edge', 'semseg'])
        assert cfg.tasks == cfg.model.backbone.tasks == ['edge', 'semseg']
        for name in ('train', 'val', 'test'):
            assert cfg[f'{name}_dataloader'].dataset.tasks == ['semseg', 'edge']
        assert [metric.type for metric in cfg.test_evaluator] == [
            'mmbmtas.SemSegMetric',
            'mmbmtas.EdgePixelMetric',
        ]
        init_default_scope('mmbmtas')
        assert MODELS.build(cfg.model).tasks == ('edge', 'semseg')

    def test_one_by_its_name(self, read):
        assert read(SEARCH, tasks='edge').model.backbone.tasks == ['edge']

    def test_data_sets_of_others_leave_a_concatenation(self, read):
        cfg = read(PARTIAL, tasks=['edge', 'depth'])
        (left,) = cfg.train_dataloader.dataset.datasets
        assert (left.type, left.tasks) == ('NYUDv2MT', ['edge', 'depth'])

    @pytest.mark.parametrize('tasks', [['semseg', 'egde'], [], ['edge', 'edge']])
    def test_others_are_refused(self, read, tasks):
        with pytest.raises(ValueError, match=r"tasks=\[.*out of \['semseg', 'human_parts'"):
            read(SEARCH, tasks=tasks)


class TestWithoutEffect:
    @pytest.fixture
    def cfg(self):
        return Config(
            {
                'tasks': ['semseg'],
                'max_iters': 4,
                'size': (9, 7),
                'head': {'channels': 3},
                'secret': 5,
                'model': {'cost_shape': (9, 7), 'heads': {'semseg': {'channels': 3}}},
                'train_dataloader': {'dataset': {'pipeline': [{'type': 'A'}, {'size': (9, 7)}]}},
                'train_cfg': {'max_iters': 4},
            }
        )

    @pytest.mark.parametrize(
        ('option', 'hint'),
        [
            ('max_iter', "did you mean 'max_iters'"),
            ('optim_wraper.optimizer.lr', "did you mean 'optim_wrapper'"),
            ('zzz', r"expected one of \['tasks', 'max_iters', 'model', 'train_dataloader'"),
        ],
    )
    def test_names_that_do_not_exist(self, cfg, option, hint):
        with pytest.raises(ValueError, match=f'has no entry .{option.split(".")[0]}.*{hint}'):
            apply_overrides(cfg, {option: 1})

    @pytest.mark.parametrize('option', ['size', 'head.channels', 'secret'])
    def test_names_that_others_were_computed_from(self, cfg, option):
        how = r'has already used it.* Set the entries that hold it: tools/misc/print_config\.py'
        with pytest.raises(ValueError, match=f'{option} has no effect: the config {how}'):
            apply_overrides(cfg, {option: 1})

    def test_keys_that_nothing_takes(self, cfg):
        cfg.train_cfg.type = 'IterBasedTrainLoop'
        with pytest.raises(ValueError, match=r"weight_iters = 1 has .*keys are .*'max_iters'"):
            apply_overrides(cfg, {'weight_iters': 1})

    def test_new_entries_of_the_runner_are_none_of_them(self, cfg):
        apply_overrides(cfg, {'load_from': 'a.pth', 'find_unused_parameters': True})
        assert (cfg.load_from, cfg.find_unused_parameters) == ('a.pth', True)

    def test_replacing_what_is_not_there_leaves_no_mark(self, cfg):
        options = {'model.neck._delete_': True, 'model.neck.type': 'Neck'}
        apply_overrides(cfg, options)
        assert cfg.model.neck == {'type': 'Neck'}
        apply_overrides(cfg, {**options, 'model.neck.type': 'Other'})
        assert cfg.model.neck == {'type': 'Other'}

    @pytest.mark.parametrize(
        'option', ['max_iters.end', 'train_dataloader.dataset.pipeline.7.size']
    )
    def test_values_that_do_not_fit(self, cfg, option):
        with pytest.raises(ValueError, match='an override does not fit the config: '):
            apply_overrides(cfg, {option: 1})
