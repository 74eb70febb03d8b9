"""Whole data sets are reproducible, written safely, and asked for from the command line."""

import runpy
import signal
import sys
from pathlib import Path

import pytest

from mmbmtas.scenes import dataset as scenes_dataset
from mmbmtas.scenes import write_scenes

SIZE = (48, 64)
TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/synthetic_scenes.py'


@pytest.fixture(scope='module')
def pascal(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'pascal'
    assert write_scenes(root, 'pascal', 3, 2, SIZE, seed=5)
    return root


@pytest.fixture(scope='module')
def nyud(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'nyud'
    assert write_scenes(root, 'nyud', 3, 2, SIZE, seed=5)
    return root


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob('*') if p.is_file()}


class TestWriting:
    @pytest.mark.parametrize('layout', ['pascal', 'nyud'])
    def test_same_bytes_whatever_the_jobs(self, tmp_path, layout, request):
        write_scenes(tmp_path / 'two', layout, 3, 2, SIZE, seed=5, jobs=2)
        assert contents(request.getfixturevalue(layout)) == contents(tmp_path / 'two')

    def test_images_do_not_depend_on_how_many(self, tmp_path, nyud):
        write_scenes(tmp_path / 'few', 'nyud', 1, 1, SIZE, seed=5)
        few, many = contents(tmp_path / 'few'), contents(nyud)
        same = [path for path in few if path.suffix in ('.npy', '.jpg', '.png')]
        assert len(same) == 10
        assert all(few[path] == many[path] for path in same)

    def test_same_request_is_a_no_op(self, nyud):
        before = {p: p.stat().st_mtime_ns for p in nyud.rglob('*')}
        assert not write_scenes(nyud, 'nyud', 3, 2, SIZE, seed=5)
        assert before == {p: p.stat().st_mtime_ns for p in nyud.rglob('*')}

    def test_refuses_to_overwrite(self, tmp_path):
        (tmp_path / 'precious.txt').write_text('mine')
        with pytest.raises(FileExistsError, match='--overwrite'):
            write_scenes(tmp_path, 'nyud', 1, 1, SIZE)
        assert [p.name for p in tmp_path.iterdir()] == ['precious.txt']

    def test_overwrites_when_told(self, tmp_path):
        root = tmp_path / 'scenes'
        write_scenes(root, 'pascal', 0, 1, SIZE)
        assert write_scenes(root, 'nyud', 1, 0, SIZE, overwrite=True)
        assert not (root / 'JPEGImages').exists()
        assert [p.name for p in tmp_path.iterdir()] == ['scenes']

    @pytest.mark.parametrize('scenes', [True, False])
    @pytest.mark.parametrize('name', ['old.txt', 'images/old.txt', 'work/run/iter_1.pth'])
    def test_overwrites_its_own_files_only(self, tmp_path, monkeypatch, scenes, name):
        root = tmp_path / 'scenes'
        if scenes:
            write_scenes(root, 'nyud', 0, 1, SIZE)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('old')
        before = contents(root)
        monkeypatch.setattr(scenes_dataset, '_build', None)  # refused before any work
        with pytest.raises(FileExistsError, match=f'scenes holds {name}'):
            write_scenes(root, 'nyud', 1, 0, SIZE, overwrite=True)
        assert contents(root) == before

    @pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
    @pytest.mark.parametrize('old', [True, False])
    def test_interrupt_leaves_nothing_behind(self, tmp_path, monkeypatch, error, old):
        root = tmp_path / 'scenes'
        if old:
            write_scenes(root, 'nyud', 0, 1, SIZE)
        before = contents(tmp_path)
        write = scenes_dataset.write_nyud

        def fail(folder, name, rendering):
            write(folder, name, rendering)
            if name == 'train_000001':
                raise error

        monkeypatch.setattr(scenes_dataset, 'write_nyud', fail)
        with pytest.raises(error):
            write_scenes(root, 'nyud', 3, 0, SIZE, overwrite=True)
        assert contents(tmp_path) == before
        assert [p.name for p in tmp_path.iterdir()] == ['scenes'] * old

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            ({'layout': 'coco'}, 'layout must be one of pascal, nyud'),
            ({'train': -1}, 'train must be at least 0'),
            ({'size': (8, 64)}, 'height must be at least 16'),
            ({'jobs': 0}, 'jobs must be at least 1'),
            ({'seed': -3}, 'seed must be at least 0'),
        ],
    )
    def test_arguments_are_checked(self, tmp_path, change, message):
        arguments = {'layout': 'nyud', 'train': 1, 'val': 1, 'size': SIZE} | change
        with pytest.raises(ValueError, match=message):
            write_scenes(tmp_path / 'scenes', **arguments)
        assert not list(tmp_path.iterdir())

    def test_command_line(self, tmp_path, monkeypatch, capsys):
        command = [str(TOOL), str(tmp_path / 'scenes'), '--layout', 'nyud']
        command += ['--val', '1', '--size', '32', '40', '--train']
        # The tool takes SIGTERM over, which must not outlive the test.
        monkeypatch.setattr(signal, 'signal', lambda *_: None)

        def run(train):
            monkeypatch.setattr(sys, 'argv', [*command, train])
            runpy.run_path(str(TOOL), run_name='__main__')
            return capsys.readouterr()

        first = run('2')
        assert 'Wrote 2 training' in first.out
        assert 'drawing scenes: ' in first.err
        assert 'Nothing to do' in run('2').out
        with pytest.raises(SystemExit) as refusal:
            run('3')
        assert refusal.value.code == 2
        assert capsys.readouterr().err.count('\n') == 1
