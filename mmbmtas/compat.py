"""What makes the OpenMMLab stack run on current releases; nothing else is patched anywhere.

``apply()`` runs on ``import mmbmtas``. Each repair looks first whether it is needed and leaves a
healthy installation alone:

===========================  ==================================================================
``repair_torchvision``       a CUDA build of torchvision beside a CPU build of torch
``stub_mmcv_ops``            mmcv-lite has no compiled operators, mmseg imports them unguarded
``replace_pkg_resources``    setuptools 82 dropped ``pkg_resources``, mmengine asks it for paths;
                             the maintained forks have other names than those that it asks for
``register_safe_loader``     torch 2.6 loads weights only, and knows no mmengine checkpoint
===========================  ==================================================================

The optimiser wrapper for mixed precision on CPUs is ``mmbmtas.engine.optimizers``'s, and the set-up
of distributed training on CPUs is ``mmbmtas.engine.launch``'s.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import pickle
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy
import torch
from packaging.version import Version

from mmbmtas.errors import InputError, MissingFileError

_TRUSTED: list[Path] = []  # directories whose checkpoints may unpickle anything
_LIBRARIES: list[Any] = []  # schemas of torch.library live as long as their Library object


def apply() -> None:
    """Run every repair that this installation needs."""
    repair_torchvision()
    stub_mmcv_ops()
    replace_pkg_resources()
    register_safe_loader()


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


def is_installed(package: str) -> bool:
    """Tell whether a distribution or an importable package of this name is there."""
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


def register_safe_loader() -> None:
    """Read local checkpoint files with ``load_from_local`` in everything that mmengine loads."""
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)


def trust_directory(directory: str | os.PathLike[str]) -> None:
    """Let checkpoints below a directory unpickle whatever they hold.

    Unpickling runs code that the file chooses. Only ``tools/train.py --resume`` calls this, and
    only for the run's own work directory, whose files the user's earlier run has written.
    """
    _TRUSTED.append(Path(directory).resolve())


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a local checkpoint without running code that the file chooses.

    Weights, optimiser states and what mmengine adds to them (its ``HistoryBuffer`` of the log's
    scalars, numpy arrays and numbers) are read from any file. Files below a directory given to
    ``trust_directory`` may hold any other Python object too.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a file that is not trusted holds anything else.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise MissingFileError(f'{filename} is not a checkpoint file: there is no such file.')
    try:
        return _load_plain(path, map_location)
    except Exception as error:  # a damaged file fails in many ways
        if any(path.resolve().is_relative_to(directory) for directory in _TRUSTED):
            return torch.load(path, map_location=map_location, weights_only=False)
        raise InputError(
            f'{filename} is not a checkpoint that can be read safely: it is damaged, or it holds '
            f'more than weights and training state ({_reason(error)}). Other objects are unpickled '
            'only when a run resumes from its own work directory (tools/train.py --resume).'
        ) from error


def _reason(error: Exception) -> str:
    """Cut torch's page of advice down to what it complained about."""
    text = str(error).rpartition('WeightsUnpickler error:')[2].partition('. ')[0].strip()
    return text or type(error).__name__


def _load_plain(path: Path, map_location: Any) -> Any:
    """Load weights and the objects of ``_allowed_globals``, whatever the release of torch."""
    allowed = _allowed_globals()
    if Version(torch.__version__).release >= (2, 6):
        named = [(item, name) for name, item in allowed.items()]
        with torch.serialization.safe_globals([*named, *_dtype_classes()]):
            return torch.load(path, map_location=map_location, weights_only=True)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError:
        return torch.load(
            path,
            map_location=map_location,
            weights_only=False,
            pickle_module=_restricted_pickle(allowed),
        )


def _allowed_globals() -> dict[str, Any]:
    """List what a checkpoint of mmengine names beside weights: full name in the file -> object."""
    from mmengine.logging import HistoryBuffer

    reconstruct = numpy.zeros(0).__reduce__()[0]
    scalar = numpy.float64(0).__reduce__()[0]
    allowed = {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'builtins.getattr': _history_statistic,
        '__builtin__.getattr': _history_statistic,
        'numpy.ndarray': numpy.ndarray,
        'numpy.dtype': numpy.dtype,
    }
    for package in ('numpy.core', 'numpy._core'):  # the names of numpy 1 and numpy 2
        allowed[f'{package}.multiarray._reconstruct'] = reconstruct
        allowed[f'{package}.multiarray.scalar'] = scalar
    return allowed


def _history_statistic(owner: Any, name: str) -> Any:
    """Stand for ``getattr``, which a HistoryBuffer needs for its four statistics only."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed')


def _dtype_classes() -> list[type]:
    """List the classes of numpy's plain dtypes: numbers, truth values and strings, no objects."""
    codes = numpy.typecodes['AllInteger'] + numpy.typecodes['AllFloat'] + '?US'
    return list({type(numpy.dtype(code)) for code in codes})


def _restricted_pickle(allowed: dict[str, Any]) -> types.ModuleType:
    """Make a ``pickle`` for torch < 2.6, whose own safe loader takes no list of further objects."""
    from torch._weights_only_unpickler import _get_allowed_globals

    known = {**_get_allowed_globals(), **allowed}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return known[f'{module}.{name}']
            except KeyError:
                raise pickle.UnpicklingError(f'{module}.{name} is not allowed') from None

    restricted = types.ModuleType('restricted_pickle')
    restricted.Unpickler = Unpickler  # type: ignore[attr-defined]
    restricted.load = lambda file, **options: Unpickler(file, **options).load()  # type: ignore[attr-defined]
    return restricted
