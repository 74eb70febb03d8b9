"""Patches that make the OpenMMLab stack run on current releases; there are no others.

``apply()`` runs on ``import mmbmtas``. Each repair looks first whether it is needed and leaves a
healthy installation alone:

===========================  ==================================================================
``repair_torchvision``       a CUDA build of torchvision beside a CPU build of torch
``stub_mmcv_ops``            mmcv-lite has no compiled operators, mmseg imports them unguarded
``replace_pkg_resources``    setuptools 82 dropped ``pkg_resources``, mmengine asks it for paths;
                             the maintained forks have other names than those that it asks for
``register_loaders``         mmengine's loaders of checkpoints run code that a file chooses
``register_configs``         mmengine finds configs (``mmbmtas::bmtas/search_scenes.py``) only of
                             the packages in its list
===========================  ==================================================================

The optimiser wrapper for mixed precision on CPUs is ``mmbmtas.engine.optimizers``'s, and the set-up
of distributed training on CPUs is ``mmbmtas.launch.ranks``'s.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import torch

_LIBRARIES: list[Any] = []  # schemas of torch.library live as long as their Library object


def apply() -> None:
    """Apply every patch that this installation needs."""
    repair_torchvision()
    stub_mmcv_ops()
    replace_pkg_resources()
    from mmbmtas.checkpoints import register_loaders  # imports torchvision

    register_loaders()
    register_configs()


def repair_torchvision() -> None:
    """Import torchvision even where its compiled operators do not fit the installed torch.

    mmengine's Runner and mmpretrain import torchvision; they use none of its two missing operators.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if 'torchvision::nms does not exist' not in str(error):
            raise
        for name in [n for n in sys.modules if n.partition('.')[0] == 'torchvision']:
            del sys.modules[name]
        library = torch.library.Library('torchvision', 'FRAGMENT')
        for operator in ('nms', 'qnms'):
            library.define(f'{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
        _LIBRARIES.append(library)
        importlib.import_module('torchvision')


def stub_mmcv_ops() -> None:
    """Put an empty ``mmcv._ext`` in place where mmcv has none, so that ``mmcv.ops`` imports."""
    name = 'mmcv._ext'
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        sys.modules[name] = _OpsStub(name)


class _OpsStub(types.ModuleType):
    """Stands for mmcv's compiled operators; each of them refuses when it is called."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 'Placeholder for the compiled operators of the full mmcv.')
        self.__spec__ = ModuleSpec(name, loader=None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        if name in ('get_compiler_version', 'get_compiling_cuda_version'):
            return lambda: 'n/a'

        def refuse(*_: Any, **__: Any) -> None:
            raise NotImplementedError(f'the operator {name!r} needs the full mmcv')

        return refuse


def replace_pkg_resources() -> None:
    """Let mmengine find packages by their imports' names, wherever it bound the two functions."""
    if importlib.util.find_spec('pkg_resources') is not None and _is_distribution('mmsegmentation'):
        return
    for module_name in (
        'mmengine.utils.package_utils',
        'mmengine.utils',
        'mmengine.config.config',
        'mmengine.hub.hub',
    ):
        module = importlib.import_module(module_name)
        for function in (is_installed, get_installed_path):
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)


def register_configs() -> None:
    """Let ``_base_ = 'mmbmtas::bmtas/search_scenes.py'`` name a config of this package."""
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmbmtas', 'mmbmtas')


def is_installed(package: str) -> bool:
    """Tell whether a distribution or an importable package of this name is installed."""
    return _is_distribution(package) or _folder_of(package) is not None


def get_installed_path(package: str) -> str:
    """Give the folder of an importable package, named by its import or as mmengine names it.

    Raises:
        PackageNotFoundError: when no package has this name.
    """
    folder = _folder_of(package)
    if folder is None:
        raise importlib.metadata.PackageNotFoundError(package)
    return folder


def _is_distribution(name: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version(name)
        return True
    return False


def _folder_of(package: str) -> str | None:
    from mmengine.config.utils import MODULE2PACKAGE

    modules = [module for module, name in MODULE2PACKAGE.items() if name == package]
    for module in (package, *modules):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin is not None:
            return os.path.dirname(spec.origin)
    return None
