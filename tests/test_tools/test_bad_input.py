"""What users get wrong: one message that names it, status 1, and nothing half-written."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
SMALL = ['total_batch_size=2', 'train_dataloader.num_workers=0']
SMALL += ['train_dataloader.persistent_workers=False']
TASKS = ['semseg', 'human_parts', 'saliency', 'normals', 'edge']
ENCODER = {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context_channels': 64}


@pytest.fixture
def root(scenes_roots, tmp_path):
    """A folder of scenes to spoil."""
    return Path(shutil.copytree(scenes_roots['pascal'], tmp_path / 'scenes'))


@pytest.fixture
def train(tmp_path, monkeypatch, capfd):
    """Run tools/train.py in this process and return its one line of complaint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    before = DefaultScope._instance_dict.copy()

    def run(config, *options, arguments=()):
        words = ['train.py', str(config), '--work-dir', 'work', *map(str, arguments)]
        words += ['--cfg-options', *SMALL, *map(str, options)]
        monkeypatch.setattr(sys, 'argv', words)
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / 'tools' / 'train.py'), run_name='__main__')
        assert caught.value.code == 1
        (line,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith('error: ')]
        assert not [*tmp_path.rglob('*.pth')]
        assert not [*tmp_path.glob('work/architecture*')]
        return line

    yield run
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


class TestFiles:
    def test_missing_folder(self, train, tmp_path):
        line = train(CONFIGS / 'branched_scenes.py', 'data_root=nowhere')
        assert "data_root = 'nowhere' (train_dataloader.dataset)" in line
        assert not (tmp_path / 'work').exists()  # before any work
        assert 'must be the folder of the unpacked dataset' in line

    def test_missing_folder_in_a_search(self, train):
        assert 'nowhere' in train(CONFIGS / 'search_scenes.py', 'data_root=nowhere')

    def test_missing_config(self, train):
        assert 'lost.py is not a config file' in train('lost.py')

    def test_missing_label_file(self, train, root):
        next((root / 'sal_distill').glob('train_*')).unlink()
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}')
        assert '1 files of the train split are missing' in line
        assert 'sal_distill/train_' in line

    def test_missing_checkpoint(self, train, root):
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', 'pretrained=lost.pth')
        assert 'lost.pth is not a checkpoint file' in line

    @pytest.mark.parametrize('config', ['branched_scenes', 'search_scenes'])
    def test_unreadable_image(self, train, root, config):
        for image in (root / 'JPEGImages').glob('train_*'):
            image.write_bytes(b'no image')
        line = train(CONFIGS / f'{config}.py', f'data_root={root}')
        assert 'JPEGImages/train_' in line

    def test_label_of_another_size(self, train, root):
        for label in (root / 'sal_distill').glob('train_*'):
            Image.fromarray(np.zeros((20, 30), np.uint8)).save(label)
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}')
        assert 'sal_distill/train_' in line
        assert all(text in line for text in ('20', '30', '64', '80'))


class TestArchitecture:
    @pytest.fixture
    def save(self, toys, tmp_path):
        def write(tasks, encoder, num_layers=18, spoil=None):
            tree = toys.BranchedArchitecture.shared(tasks, encoder, num_layers)
            document = tree.to_dict()
            if spoil:
                spoil(document)
            (tmp_path / 'tree.json').write_text(json.dumps(document))
            return 'architecture=tree.json'

        return write

    def test_for_other_tasks(self, train, root, save):
        option = save(['semseg', 'depth'], ENCODER)
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', option)
        assert "['semseg', 'depth']" in line
        assert str(TASKS) in line

    def test_for_another_encoder(self, train, root, save):
        option = save(TASKS, {'type': 'ResNetEncoder', 'depth': 18}, 9)
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', option)
        assert 'tree.json' in line
        assert 'ResNetEncoder' in line
        assert 'MobileNetV2Encoder' in line

    def test_of_an_encoder_nobody_knows(self, train, root, save):
        option = save(TASKS, {'type': 'VisionTransformer'})
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', option)
        assert 'tree.json' in line
        assert 'VisionTransformer' in line

    def test_with_a_strange_key_of_the_encoder(self, train, root, save):
        option = save(TASKS, {**ENCODER, 'depth': 50})
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', option)
        assert 'tree.json' in line
        assert 'depth' in line

    def test_spoilt(self, train, root, save):
        option = save(TASKS, ENCODER, spoil=lambda d: d.update(version=7))
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', option)
        assert 'tree.json: version: found 7, expected 1' in line

    def test_missing(self, train, root):
        line = train(CONFIGS / 'branched_scenes.py', f'data_root={root}', 'architecture=lost.json')
        assert 'architecture file lost.json not found' in line


class TestTasks:
    def test_unknown_to_the_data_set(self, train, root):
        line = train(
            CONFIGS / 'branched_scenes.py',
            f'data_root={root}',
            "train_dataloader.dataset.tasks=['semseg','colour']",
        )
        assert 'colour' in line
        assert 'semseg, human_parts, saliency, normals, edge' in line

    def test_unknown_to_the_heads(self, train, root):
        line = train(
            CONFIGS / 'search_scenes.py',
            f'data_root={root}',
            "model.backbone.tasks=['semseg','colour']",
        )
        assert "['semseg', 'colour']" in line


def test_single_checkpoints_of_some_tasks_only(train, root):
    config = CONFIGS / 'exchange' / 'cross_stitch_scenes.py'
    (root / 'edge.pt').touch()
    line = train(config, f'data_root={root}', f'single_checkpoints.edge={root}/edge.pt')
    assert "single_checkpoints names the tasks ['edge']" in line
    assert str(TASKS) in line


@pytest.mark.parametrize('config', ['branched_scenes', 'search_scenes'])
def test_a_loss_that_is_not_finite(train, root, config):
    line = train(
        CONFIGS / f'{config}.py',
        f'data_root={root}',
        'model.decode_heads.normals.loss_decode.loss_weight=1e300',
    )
    assert 'normals.loss_l1' in line
    assert 'non-finite loss' in line


@pytest.mark.slow
def test_an_unreadable_image_in_a_worker(root, tmp_path):
    for image in (root / 'JPEGImages').glob('train_*'):
        image.write_bytes(b'no image')
    command = [sys.executable, ROOT / 'tools' / 'train.py', CONFIGS / 'branched_scenes.py']
    command += ['--cfg-options', f'data_root={root}', 'total_batch_size=2']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, timeout=300
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith('error: ')
    assert 'JPEGImages/train_' in last
    assert 'Traceback' not in done.stderr
    assert not [*tmp_path.rglob('*.pth')]


def test_a_tool_whose_optional_package_is_missing(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, 'optuna', None)
    monkeypatch.setattr(sys, 'argv', ['search_cell.py', 'any.py', '-o', 'out'])
    monkeypatch.setattr(signal, 'signal', lambda *_: None)  # a handler would outlive the test
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools/search_cell.py'), run_name='__main__')
    assert caught.value.code == 1
    assert "pip install 'mmbmtas[cells]'" in capfd.readouterr().err
