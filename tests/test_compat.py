"""The repairs of the OpenMMLab stack."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import mmengine.utils
import pytest
import torch
from mmengine.model import revert_sync_batchnorm

import mmbmtas
from mmbmtas import compat


def test_mm_packages_import():
    for name in ('mmcv.ops', 'mmseg.models', 'mmpretrain.models', 'torchvision'):
        assert importlib.import_module(name)


@pytest.mark.skipif(
    not isinstance(sys.modules.get('mmcv._ext'), compat._OpsStub), reason='the full mmcv is there'
)
def test_stub_of_the_operators_refuses_calls():
    stub = sys.modules['mmcv._ext']
    assert stub.get_compiler_version() == 'n/a'
    assert not hasattr(stub, '__path__')
    with pytest.raises(NotImplementedError, match=r"'nms' needs the full mmcv"):
        stub.nms()


def test_mmengine_converts_layers_whatever_it_takes_the_stub_for():
    """Some releases of mmengine take it for the full mmcv, whose layers they then ask for."""
    layer = revert_sync_batchnorm(torch.nn.SyncBatchNorm(2))
    assert not isinstance(layer, torch.nn.SyncBatchNorm)
    assert layer.num_features == 2


def test_a_torchvision_error_of_another_kind_is_not_hidden(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == 'torchvision':
                raise RuntimeError('another error')

    monkeypatch.delitem(sys.modules, 'torchvision')
    monkeypatch.setattr(sys, 'meta_path', [Broken(), *sys.meta_path])
    with pytest.raises(RuntimeError, match='another error'):
        compat.repair_torchvision()


def test_packages_are_found_by_either_name():
    folder = compat.get_installed_path('mmseg')
    assert folder.endswith('mmseg')
    assert compat.get_installed_path('mmsegmentation') == folder
    assert compat.is_installed('mmseg')
    assert compat.is_installed('mmsegmentation')
    assert not compat.is_installed('no_such_package')
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        compat.get_installed_path('no_such_package')


def test_mmengine_uses_the_replacements_where_pkg_resources_is_gone(monkeypatch):
    monkeypatch.setattr(mmengine.utils, 'get_installed_path', None)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    compat.replace_pkg_resources()
    assert mmengine.utils.get_installed_path is compat.get_installed_path


def test_configs_of_another_package_resolve():
    from mmengine.config import Config

    text = "_base_ = 'mmseg::_base_/models/fcn_r50-d8.py'"
    assert Config.fromstring(text, '.py').model.type == 'EncoderDecoder'


def test_configs_of_another_package_resolve_whatever_its_distribution_is_called(monkeypatch):
    def miss(name):
        raise importlib.metadata.PackageNotFoundError(name)

    for function in ('version', 'distribution'):
        monkeypatch.setattr(importlib.metadata, function, miss)
    compat.replace_pkg_resources()
    test_configs_of_another_package_resolve()


@pytest.mark.parametrize(
    ('installed', 'complaint'),
    [
        ({'mmcv-lite': '2.1.0'}, None),
        ({'mmcv': '2.1.0'}, None),
        ({'onedl-mmcv': '3.0.0'}, None),
        ({'mmcv-lite': '2.2.0'}, r'mmcv>=2\.0\.1,<2\.2\.0 is needed, found 2\.2\.0.*pip install'),
        ({'mmcv': '1.7.0'}, r'mmcv>=2\.0\.1,<2\.2\.0 is needed, found 1\.7\.0'),
        ({}, r'mmcv>=2\.0\.1,<2\.2\.0 is needed, none found'),
    ],
)
def test_versions_are_checked_on_import(monkeypatch, installed, complaint):
    others = {'mmengine': '0.10.7', 'mmpretrain': '1.2.0', 'mmsegmentation': '1.2.2'}
    monkeypatch.setattr(mmbmtas, '_version', {**others, **installed}.get)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    if complaint is None:
        mmbmtas._check_versions()
    else:
        with pytest.raises(ImportError, match=complaint):
            mmbmtas._check_versions()


def test_source_trees_on_the_path_are_taken_as_they_are(monkeypatch):
    monkeypatch.setattr(mmbmtas, '_version', lambda name: None)
    mmbmtas._check_versions()


def test_needed_versions_are_those_of_the_requirements_file():
    lines = Path(__file__).parents[1].joinpath('requirements/mminstall.txt').read_text().split()
    for names, (lowest, too_new) in mmbmtas._NEEDED.values():
        assert any(f'{name}>={lowest},<{too_new}' in lines for name in names)
