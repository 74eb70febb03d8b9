"""Fixtures that all tests share. Helpers are loaded by path: mmseg installs a package `tests`."""

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmbmtas  # noqa: F401  (what the stack needs, before any test imports torchvision)

# How long an example takes says how busy the machine is.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_runners = _load('runners')
make_runner = _runners.make_runner
search_runner = _runners.search_runner
path_runner = _runners.path_runner


@pytest.fixture(autouse=True, scope='module')
def default_scope():
    """Begin and end a module without a default scope, whatever fixtures of the session did."""
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def live_loggers():
    """Let no logger write where an earlier test's output was captured: that stream is closed."""
    for logger in MMLogger._instance_dict.values():
        for handler in [*logger.handlers]:
            if getattr(getattr(handler, 'stream', None), 'closed', False):
                logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Let a test draw the same numbers alone, in any order and on any worker."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def layouts():
    """The module that writes small datasets in the releases' byte formats."""
    return _load('layouts')


@pytest.fixture(scope='session')
def mat73():
    """The module that writes MATLAB files of version 7.3."""
    return _load('mat73')


@pytest.fixture(scope='session')
def pascal_root(layouts, tmp_path_factory):
    """A PASCAL_MT folder of three images; tests must not change it."""
    return layouts.write_pascal(tmp_path_factory.mktemp('PASCAL_MT'))


@pytest.fixture(scope='session', params='ABC')
def nyud_root(request, layouts, tmp_path_factory):
    """A NYUD_MT folder in each of the three packagings; tests must not change it."""
    return layouts.write_nyud(tmp_path_factory.mktemp(f'NYUD_MT_{request.param}'), request.param)


@pytest.fixture(scope='session')
def real_nyud_root(tmp_path_factory):
    """A NYUD_MT folder of real photographs with real depth, of odd sizes."""
    return _load('real_photos').write_real_nyud(tmp_path_factory.mktemp('real_NYUD_MT'))


@pytest.fixture(scope='session')
def write_photos():
    """A function that writes a folder of photographs with masks and depth, as a user has them."""
    return _load('photos').write_photos


@pytest.fixture(scope='session')
def toys():
    """The module that builds small networks and batches."""
    return _load('toys')


@pytest.fixture(scope='session')
def pretence():
    """The module that pretends a GPU."""
    return _load('pretend_gpu')


@pytest.fixture(params=['pretended', pytest.param('real', marks=pytest.mark.gpu)])
def gpu(request, pretence):
    """A GPU, to be entered: ``with gpu():``. ``make test-gpu`` is for machines that have one."""
    if request.param == 'real' and not torch.cuda.is_available():
        pytest.skip('needs a GPU')
    return pretence.pretend_gpu if request.param == 'pretended' else pretence.real_gpu


@pytest.fixture(scope='session')
def scenes_roots(tmp_path_factory):
    """Folders of small synthetic scenes by layout, ``pascal`` and ``nyud``; not to be changed."""
    from mmbmtas.scenes import write_scenes

    roots = {name: tmp_path_factory.mktemp('scenes') / name for name in ('pascal', 'nyud')}
    for name, root in roots.items():
        write_scenes(root, name, train=12, val=2, size=(64, 80))
    return roots
