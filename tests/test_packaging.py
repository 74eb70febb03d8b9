"""The source distribution holds what building from it reads."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

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
