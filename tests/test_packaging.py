"""What the source distribution and the wheel hold, and that the wheel alone works."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
SOURCES = ('mmbmtas', 'requirements', 'configs')
FILES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE')


def build(folder, call):
    """Call a build hook (PEP 517) as ``pip`` and ``build`` do."""
    code = f'from setuptools import build_meta; print(build_meta.{call})'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'source'
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in FILES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder)
    return folder


def test_a_wheel_can_be_built_from_the_source_distribution(source, tmp_path):
    archive = source / 'dist' / build(source, 'build_sdist("dist")')
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / 'unpacked')
    (unpacked,) = (tmp_path / 'unpacked').iterdir()
    info = build(unpacked, 'prepare_metadata_for_build_wheel(".")')
    lines = (unpacked / info / 'METADATA').read_text().splitlines()
    needed = {line.partition(': ')[2] for line in lines if line.startswith('Requires-Dist')}
    listed = (ROOT / 'requirements' / 'runtime.txt').read_text().split()
    assert {line.partition(';')[0].replace(' ', '') for line in needed} >= {*listed}
    assert (unpacked / 'configs' / 'branched_scenes.py').is_file()
    assert (unpacked / 'mmbmtas' / 'py.typed').is_file()
    versions = {line.rpartition(':: ')[2] for line in lines if ':: Python :: 3' in line}
    allowed = SpecifierSet(next(line for line in lines if 'Requires-Python' in line).split(': ')[1])
    assert versions == {f'3.{minor}' for minor in range(20) if f'3.{minor}' in allowed}
    assert 'Classifier: Typing :: Typed' in lines


@pytest.mark.slow
def test_the_installed_wheel_takes_a_folder_to_predictions(source, tmp_path, write_photos):
    """The commands of docs/own_data.md, from the wheel, without the repository, in a few steps."""
    wheel = source / 'dist' / build(source, 'build_wheel("dist")')
    place = tmp_path / 'environment'
    venv.create(place, with_pip=False)
    packages = Path(sysconfig.get_path('purelib', vars={'base': place, 'platbase': place}))
    (packages / 'others.pth').write_text(f'{sysconfig.get_path("purelib")}\n')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    write_photos(tmp_path / 'photos', 8, (192, 256))  # large enough to be scaled

    def run(*words):
        done = subprocess.run(
            [place / 'bin' / 'python', '-m', 'mmbmtas', *words],
            cwd=tmp_path,
            env={'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PATH': os.environ['PATH']},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run('new-project', 'photos', '-o', 'mine')
    loading = [f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')]
    loading += [f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')]
    run('search', 'mine/search.py', '--cfg-options', 'weight_iters=2', *loading)
    run('retrain', 'mine/branched.py', '--cfg-options', 'max_iters=2', *loading)
    checkpoint = 'mine/work_dirs/branched/iter_2.pth'
    run('test', 'mine/branched.py', checkpoint, '--cfg-options', *loading)
    run('infer', 'mine/branched.py', checkpoint, 'photos/images', '-o', 'out')
    assert len([*(tmp_path / 'out/mask').glob('*.png')]) == 8
    told = run('export', 'mine/branched.py', checkpoint, '-o', 'network.onnx', '--verify')
    assert 'All are at most 1e-04' in told
    told = (tmp_path / 'mine/work_dirs/search').glob('*/*.log')
    assert str(ROOT) not in ''.join(path.read_text() for path in told)


def test_the_wheel_has_tools_configs_and_the_command(source):
    wheel = source / 'dist' / build(source, 'build_wheel("dist")')
    with zipfile.ZipFile(wheel) as archive:
        names = {*archive.namelist()}
        (entries,) = [name for name in names if name.endswith('entry_points.txt')]
        assert 'mmbmtas = mmbmtas.command_line:main' in archive.read(entries).decode()
    for folder in ('tools', 'configs'):
        place = f'mmbmtas/.mim/{"tools" if folder == "tools" else "configs/bmtas"}'
        for path in (ROOT / folder).rglob('*'):
            if path.suffix in ('.py', '.sh', '.json', '.yaml'):
                assert f'{place}/{path.relative_to(ROOT / folder)}' in names
    assert 'mmbmtas/.mim/model-index.yml' in names
