"""What train.py and test.py do to a config before anything is built."""

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmbmtas.engine.optimizers import CpuAmpOptimWrapper
from mmbmtas.launch import launch, ranks
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.registry import MODELS


def _config(**entries):
    return Config({'launcher': 'none', 'model': {'backbone': {}}, **entries})


def _args(*words):
    parser = ArgumentParser()
    launch.add_common_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def two_ranks(monkeypatch):
    monkeypatch.setattr(launch, 'start_ranks', lambda cfg: 2)


class TestLoadConfig:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / 'some.py'
        path.write_text('a = dict(b=1)\n')
        return path

    def test_work_dir_has_the_name_of_the_config(self, path):
        assert launch.load_config(_args(path)).work_dir == str(Path('work_dirs/some'))

    def test_work_dir_of_the_config_gives_way_to_the_command_line(self, path):
        path.write_text("work_dir = 'mine'\n")
        assert launch.load_config(_args(path)).work_dir == 'mine'
        assert launch.load_config(_args(path, '--work-dir', 'other')).work_dir == 'other'

    def test_options_reach_the_config(self, path):
        path.write_text('train_cfg = dict(b=1)\n')
        cfg = launch.load_config(_args(path, '--cfg-options', 'train_cfg.b=2', 'load_from=x'))
        assert (cfg.train_cfg.b, cfg.load_from) == (2, 'x')

    def test_data_root_moves_what_wrappers_hold(self, path):
        path.write_text(
            "data_root = 'old'\n"
            'one, other = dict(split="train"), dict(data_root="elsewhere")\n'
            'train_dataloader = dict(dataset=dict(datasets=[one, dict(dataset=one), other]))\n'
        )
        cfg = launch.read_config(str(path), {'data_root': 'new'})
        found = plain_datasets(cfg.train_dataloader.dataset)
        assert [dataset.data_root for dataset in found] == ['new', 'new', 'elsewhere']

    def test_data_root_moves_all_data_sets_but_foreign_ones(self, path):
        path.write_text(
            "data_root = 'old'\n"
            'train_dataloader = dict(dataset=dict(split="train"))\n'
            'val_dataloader = train_dataloader\n'
            "test_dataloader = dict(dataset=dict(data_root='elsewhere'))\n"
        )
        cfg = launch.load_config(_args(path, '--cfg-options', 'data_root=new'))
        roots = [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')]
        assert roots == ['new', 'new', 'elsewhere']

    @pytest.mark.parametrize(
        ('key', 'schedulers', 'ends'),
        [
            ('max_iters', '[dict(by_epoch=False), dict(end=2, by_epoch=False)]', [9, 2]),
            ('max_iters', '[dict(by_epoch=True), dict(power=1)]', [None, None]),
            ('weight_iters', 'dict(weights=[dict(by_epoch=False)], arch_params=[])', [9]),
        ],
    )
    def test_length_reaches_the_loop_and_the_schedulers(self, path, key, schedulers, ends):
        path.write_text(f'train_cfg = dict(a=1)\nparam_scheduler = {schedulers}\n{key} = 4\n')
        cfg = launch.load_config(_args(path, '--cfg-options', f'{key}=9'))
        assert cfg.train_cfg[key] == 9
        listed = cfg.param_scheduler
        listed = listed if isinstance(listed, list) else listed.weights
        assert [scheduler.get('end') for scheduler in listed] == ends

    def test_missing_config_is_named(self):
        with pytest.raises(FileNotFoundError, match=r'nowhere\.py is not a config file'):
            launch.load_config(_args('nowhere.py'))

    @pytest.mark.parametrize('spelling', ['--local_rank', '--local-rank'])
    def test_both_spellings_of_the_local_rank(self, path, spelling, monkeypatch):
        monkeypatch.setenv('LOCAL_RANK', '5')
        assert _args(path, spelling, 3).local_rank == 3


class TestTotalBatchSize:
    def test_is_shared_by_the_ranks(self, two_ranks):
        cfg = _config(
            total_batch_size=16,
            train_dataloader={'num_workers': 1},
            val_dataloader={'batch_size': 3},
            train_cfg={'type': 'Loop', 'other_dataloader': {'num_workers': 1}},
        )
        launch.prepare_config(cfg)
        assert cfg.train_dataloader.batch_size == 8
        assert cfg.train_cfg.other_dataloader.batch_size == 8
        assert cfg.val_dataloader.batch_size == 3

    def test_must_be_a_multiple_of_the_ranks(self, two_ranks):
        with pytest.raises(ValueError, match=r'total_batch_size = 7 .* by 2 ranks'):
            launch.prepare_config(_config(total_batch_size=7, train_dataloader={'a': 1}))

    def test_the_stated_one_of_the_loader_stays(self, two_ranks):
        both = {'total_batch_size': 16, 'train_dataloader': {'batch_size': 3}}
        cfg = launch.prepare_config(_config(**both))
        assert (cfg.train_dataloader.batch_size, 'total_batch_size' in cfg) == (3, False)

    def test_configs_without_it_keep_their_batch_size(self, two_ranks):
        cfg = launch.prepare_config(_config(train_dataloader={'batch_size': 3}))
        assert cfg.train_dataloader.batch_size == 3


class TestArchitecture:
    @pytest.fixture
    def repository(self, tmp_path, monkeypatch):
        (tmp_path / 'configs').mkdir()
        (tmp_path / 'here').mkdir()
        (tmp_path / 'tree.json').touch()
        (tmp_path / 'configs' / 'some.py').write_text(
            "architecture = 'tree.json'\nlauncher = 'none'\nmodel = dict(backbone=dict(depth=1))\n"
        )
        monkeypatch.chdir(tmp_path / 'here')
        return tmp_path

    def test_is_found_above_the_config(self, repository):
        cfg = launch.prepare_config(Config.fromfile(repository / 'configs' / 'some.py'))
        assert cfg.model.backbone.architecture == str(repository / 'tree.json')

    def test_working_directory_comes_first(self, repository):
        (repository / 'here' / 'tree.json').touch()
        cfg = launch.prepare_config(Config.fromfile(repository / 'configs' / 'some.py'))
        assert Path(cfg.model.backbone.architecture).resolve() == repository / 'here' / 'tree.json'

    def test_override_reaches_the_model(self, repository):
        (repository / 'other.json').touch()
        options = ('--cfg-options', f'architecture={repository}/other.json')
        cfg = launch.load_config(_args(repository / 'configs' / 'some.py', *options))
        launch.prepare_config(cfg)
        assert cfg.model.backbone.architecture == str(repository / 'other.json')

    def test_missing_file_is_named(self, repository):
        cfg = Config.fromfile(repository / 'configs' / 'some.py')
        cfg.architecture = 'lost.json'
        with pytest.raises(FileNotFoundError, match=r'lost\.json not found'):
            launch.prepare_config(cfg)

    def test_configs_without_one_are_left_alone(self):
        assert 'architecture' not in launch.prepare_config(_config()).model.backbone

    def test_latency_table_is_found_likewise(self, repository):
        (repository / 'latency.json').touch()
        options = ('--cfg-options', 'model.resource_loss.latency=latency.json')
        path = repository / 'configs' / 'some.py'
        cfg = launch.prepare_config(launch.load_config(_args(path, *options)))
        assert cfg.model.resource_loss.latency == str(repository / 'latency.json')
        (repository / 'latency.json').unlink()
        with pytest.raises(FileNotFoundError, match=r'latency table latency\.json not found'):
            launch.prepare_config(launch.load_config(_args(path, *options)))


class TestPretrained:
    def test_reaches_the_backbone(self):
        cfg = launch.prepare_config(_config(pretrained='torchvision://mobilenet_v2'))
        assert cfg.model.backbone.init_cfg == {
            'type': 'Pretrained',
            'checkpoint': 'torchvision://mobilenet_v2',
        }

    def test_none_leaves_the_backbone_alone(self):
        assert 'init_cfg' not in launch.prepare_config(_config(pretrained=None)).model.backbone

    def test_missing_file_is_named(self):
        with pytest.raises(FileNotFoundError, match=r'lost\.pth is not a checkpoint file'):
            launch.prepare_config(_config(pretrained='lost.pth'))


class TestSingleCheckpoints:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / 'some.py'
        path.write_text("single_checkpoints = None\nlauncher = 'none'\nmodel = dict(backbone={})\n")
        return path

    @pytest.fixture
    def checkpoints(self, tmp_path):
        paths = {task: str(tmp_path / f'{task}.pth') for task in ('semseg', 'edge')}
        for file in paths.values():
            Path(file).touch()
        return paths

    @pytest.mark.parametrize('dotted', [True, False])
    def test_reach_the_model(self, path, checkpoints, dotted):
        if dotted:
            words = [f'single_checkpoints.{task}={file}' for task, file in checkpoints.items()]
            cfg = launch.load_config(_args(path, '--cfg-options', *words))
        else:
            cfg = launch.read_config(str(path), {'single_checkpoints': checkpoints})
        init_cfg = launch.prepare_config(cfg).model.init_cfg
        assert init_cfg == {'type': 'SingleCheckpoints', 'checkpoints': checkpoints}

    @pytest.mark.parametrize('words', [(), ('--cfg-options', 'single_checkpoints=None')])
    def test_none_leaves_the_model_alone(self, path, words):
        cfg = launch.prepare_config(launch.load_config(_args(path, *words)))
        assert 'init_cfg' not in cfg.model

    def test_missing_file_is_named(self, path, checkpoints):
        given = {'single_checkpoints': {**checkpoints, 'edge': 'lost.pth'}}
        with pytest.raises(FileNotFoundError, match=r'lost\.pth is not a checkpoint file'):
            launch.prepare_config(launch.read_config(str(path), given))

    def test_one_for_all_tasks_is_refused(self, path):
        with pytest.raises(ValueError, match=r"= 'all\.pth': expected a checkpoint for each task"):
            launch.load_config(_args(path, '--cfg-options', 'single_checkpoints=all.pth'))


class TestAmp:
    @pytest.mark.parametrize('cuda', [False, True])
    def test_every_wrapper_is_switched(self, cuda, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
        single = _config(optim_wrapper={'optimizer': {'type': 'SGD'}})
        several = _config(
            optim_wrapper={
                'constructor': 'SearchOptimWrapperConstructor',
                'weights': {'type': 'OptimWrapper', 'optimizer': {}},
                'arch_params': {'optimizer': {}},
            }
        )
        launch.use_amp(single)
        launch.use_amp(several)
        expected = 'AmpOptimWrapper' if cuda else 'CpuAmpOptimWrapper'
        assert single.optim_wrapper.type == expected
        assert several.optim_wrapper.weights.type == expected
        assert several.optim_wrapper.arch_params.type == expected
        assert several.optim_wrapper.constructor == 'SearchOptimWrapperConstructor'

    def test_unknown_wrappers_are_refused(self):
        with pytest.raises(ValueError, match='not ApexOptimWrapper'):
            launch.use_amp(_config(optim_wrapper={'type': 'ApexOptimWrapper', 'optimizer': {}}))

    def test_cpu_wrapper_computes_in_bfloat16_and_steps_in_float32(self):
        layer = torch.nn.Linear(2, 1)
        before = layer.weight.detach().clone()
        wrapper = CpuAmpOptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
        with wrapper.optim_context(layer):
            out = layer(torch.ones(3, 2))
        assert out.dtype == torch.bfloat16
        wrapper.update_params(out.float().mean())
        torch.testing.assert_close(layer.weight, before - 0.1)


class TestResume:
    def test_without_a_name_takes_the_last_whole_one_of_the_work_directory(self, tmp_path):
        torch.save({}, tmp_path / 'iter_4.pth')
        (tmp_path / 'iter_6.pth').write_bytes(b'half')
        (tmp_path / 'last_checkpoint').write_text('iter_6.pth')
        cfg = _config(work_dir=str(tmp_path), load_from='pretrained.pth')
        launch.use_resume(cfg, 'auto')
        found = str(tmp_path / 'iter_4.pth')
        assert (cfg.resume, cfg.load_from) == (True, found)

    @pytest.mark.parametrize('name', ['.', 'not_there_yet'])
    def test_without_a_checkpoint_starts_anew(self, tmp_path, name):
        cfg = _config(work_dir=str(tmp_path / name), load_from='pretrained.pth', resume=False)
        launch.use_resume(cfg, 'auto')
        assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')

    def test_the_named_one_is_taken(self, tmp_path):
        torch.save({}, tmp_path / 'a.pth')
        cfg = _config(work_dir='mine')
        launch.use_resume(cfg, str(tmp_path / 'a.pth'))
        assert (cfg.resume, cfg.load_from) == (True, str(tmp_path / 'a.pth'))

    def test_damaged_checkpoint_is_refused(self, tmp_path):
        (tmp_path / 'a.pth').write_bytes(b'half')
        with pytest.raises(ValueError, match=r'a\.pth is damaged; --resume without a name takes'):
            launch.use_resume(_config(work_dir='mine'), str(tmp_path / 'a.pth'))

    def test_ranks_must_find_the_same(self, two_ranks, monkeypatch):
        found = ['iter_4.pth', None]
        monkeypatch.setattr(launch, 'all_gather_object', lambda own: [own, *found[1:]])
        cfg = _config(work_dir='mine', resume=True, load_from='mine/iter_4.pth')
        with pytest.raises(ValueError, match=r'\(0: iter_4\.pth, 1: none\): work_dir = mine must'):
            launch.prepare_config(cfg)
        found[1] = 'iter_4.pth'
        launch.prepare_config(cfg)

    def test_missing_checkpoint_is_named(self):
        with pytest.raises(FileNotFoundError, match=r'lost\.pth is not a checkpoint file'):
            launch.use_resume(_config(work_dir='mine'), 'lost.pth')


class TestTreeOfCheckpoint:
    @pytest.fixture
    def checkpoint(self, toys, tmp_path):
        tree = toys.random_tree(toys.SIX)
        network = MODELS.build({'type': 'mmbmtas.BranchedNetwork', 'architecture': tree.to_dict()})
        torch.save({'state_dict': {}}, tmp_path / 'other.pth')
        weights = {f'backbone.{key}': value for key, value in network.state_dict().items()}
        torch.save({'state_dict': weights}, tmp_path / 'a.pth')
        return str(tmp_path / 'a.pth')

    def test_takes_the_place_of_the_configs(self, toys, checkpoint):
        cfg = _config(architecture='example.json')
        launch.use_architecture_of_checkpoint(cfg, checkpoint, None)
        launch.prepare_config(cfg)
        network = MODELS.build({'type': 'mmbmtas.BranchedNetwork', **cfg.model.backbone})
        assert network.architecture == toys.random_tree(toys.SIX)

    def test_an_override_has_its_way(self, checkpoint):
        cfg = _config(architecture='mine.json')
        launch.use_architecture_of_checkpoint(cfg, checkpoint, {'architecture': 'mine.json'})
        assert cfg.architecture == 'mine.json'

    def test_configs_and_checkpoints_without_one_stay(self, checkpoint, tmp_path):
        cfg = _config()
        launch.use_architecture_of_checkpoint(cfg, checkpoint, None)
        assert 'architecture' not in cfg
        cfg = _config(architecture='mine.json')
        launch.use_architecture_of_checkpoint(cfg, str(tmp_path / 'other.pth'), None)
        assert cfg.architecture == 'mine.json'


class TestTestOptions:
    def test_drawing(self):
        cfg = _config(default_hooks={'visualization': {'type': 'V'}}, visualizer={'type': 'W'})
        launch.use_drawing(cfg, show=False, show_dir='pictures', wait_time=2)
        drawing = {'draw': True, 'interval': 1, 'show_dir': 'pictures'}
        assert cfg.default_hooks.visualization == {'type': 'V', **drawing}
        launch.use_drawing(cfg, show=True, show_dir=None, wait_time=2)
        assert cfg.default_hooks.visualization.wait_time == 2

    def test_drawing_needs_its_hook(self):
        with pytest.raises(ValueError, match=r'need default_hooks\.visualization'):
            launch.use_drawing(_config(), show=True, show_dir=None, wait_time=2)

    def test_tta_wraps_the_model(self):
        cfg = _config(tta_model={'type': 'T'}, tta_pipeline=['p'], test_dataloader={'dataset': {}})
        launch.use_tta(cfg)
        assert cfg.model == {'type': 'T', 'module': {'backbone': {}}}
        assert cfg.test_dataloader.dataset.pipeline == ['p']

    def test_tta_names_what_is_missing(self):
        with pytest.raises(ValueError, match='--tta needs tta_pipeline in the config'):
            launch.use_tta(_config(tta_model={'type': 'T'}))

    def test_metrics_are_written_as_plain_json(self, tmp_path):
        path = tmp_path / 'new' / 'metrics.json'
        launch.write_metrics({'a/b': np.float32(0.5), 'c': float('inf'), 'n': 3}, path)
        assert json.loads(path.read_text()) == {'a/b': 0.5, 'c': None, 'n': 3}
        assert [entry.name for entry in path.parent.iterdir()] == ['metrics.json']


class TestDistributed:
    def test_single_process_has_no_wrapper(self):
        cfg = _config()
        assert ranks.start_ranks(cfg) == 1
        ranks.adapt_to_ranks(cfg)
        assert 'model_wrapper_cfg' not in cfg

    @pytest.mark.parametrize('cuda', [False, True])
    def test_wrapper_and_normalisation(self, cuda, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
        heads = [{'norm_cfg': {'type': 'SyncBN', 'eps': 0.1}}]
        cfg = _config(model={'norm_cfg': {'type': 'SyncBN'}, 'heads': heads})
        cfg.launcher = 'pytorch'
        ranks.adapt_to_ranks(cfg)
        assert cfg.model_wrapper_cfg.find_unused_parameters
        assert ('device_ids' in cfg.model_wrapper_cfg) is not cuda
        assert cfg.sync_bn == ('torch' if cuda else None)
        kind = 'SyncBN' if cuda else 'BN'
        assert cfg.model.norm_cfg.type == kind
        assert cfg.model.heads[0].norm_cfg == {'type': kind, 'eps': 0.1}

    @pytest.mark.parametrize('allowed', [{}, {'sync_bn': None}, {'routing': None}, {'own': False}])
    def test_ranks_with_noise_of_their_own(self, allowed, monkeypatch):
        """Statistics of different candidates must not be joined, as they would on GPUs."""
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        options = {'sync_bn': 'torch', 'routing': {'type': 'HardRouting'}, 'own': True, **allowed}
        cfg = _config(
            model={'backbone': {'routing': options['routing']}},
            randomness={'diff_rank_seed': options['own']},
            sync_bn=options['sync_bn'],
        )
        cfg.launcher = 'pytorch'
        if allowed:
            ranks.adapt_to_ranks(cfg)
        else:
            with pytest.raises(ValueError, match='diff_rank_seed with routing HardRouting'):
                ranks.adapt_to_ranks(cfg)

    def test_launcher_without_its_environment_is_refused(self, monkeypatch):
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
            monkeypatch.delenv(name, raising=False)
        cfg = _config()
        cfg.launcher = 'pytorch'
        with pytest.raises(ValueError, match='expects RANK, WORLD_SIZE, LOCAL_RANK'):
            ranks.start_ranks(cfg)
