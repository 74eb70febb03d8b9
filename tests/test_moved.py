"""Imports of version 0.1.0 still work."""

import importlib
import sys

import pytest

from mmbmtas.moved import MOVED, new_name


@pytest.mark.parametrize('old', MOVED)
def test_old_names_give_the_new_modules(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f'{old} has moved: import {MOVED[old]}$'):
        found = importlib.import_module(old)
    assert found is importlib.import_module(MOVED[old])
    assert importlib.import_module(MOVED[old]).__spec__.name == MOVED[old]


@pytest.mark.filterwarnings('ignore:.*has moved')
def test_from_a_package_that_stayed():
    from mmbmtas import launch
    from mmbmtas.engine import launch as old

    assert old is launch


@pytest.mark.filterwarnings('ignore:.*has moved')
def test_modules_of_a_moved_package():
    assert new_name('mmbmtas.datasets.scenes.render') == 'mmbmtas.scenes.render'
    assert new_name('mmbmtas.datasets.planted') is None
    harness = importlib.import_module('mmbmtas.engine.comparison.harness')
    assert harness is importlib.import_module('mmbmtas.comparison.harness')
    with pytest.raises(ModuleNotFoundError, match='nothing'):
        importlib.import_module('mmbmtas.engine.nothing')
