"""Modules of version 0.1.0 under their old names.

Importing an old name gives the module that took its place, with a ``DeprecationWarning``.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    'mmbmtas.engine.affinity': 'mmbmtas.comparison.affinity',
    'mmbmtas.engine.comparison': 'mmbmtas.comparison',
    'mmbmtas.engine.comparison.document': 'mmbmtas.visualization.document',
    'mmbmtas.engine.comparison.scheduler': 'mmbmtas.launch.jobs',
    'mmbmtas.engine.distributed': 'mmbmtas.launch.ranks',
    'mmbmtas.engine.errors': 'mmbmtas.launch.errors',
    'mmbmtas.engine.export': 'mmbmtas.launch.architectures',
    'mmbmtas.engine.inference': 'mmbmtas.models.inference',
    'mmbmtas.engine.latency': 'mmbmtas.comparison.latency',
    'mmbmtas.engine.launch': 'mmbmtas.launch',
    'mmbmtas.engine.stages': 'mmbmtas.launch.jobs',
    'mmbmtas.engine.summary': 'mmbmtas.comparison.summary',
    'mmbmtas.engine.task_subset': 'mmbmtas.launch.task_subset',
    'mmbmtas.engine.tree_config': 'mmbmtas.launch.tree_config',
    'mmbmtas.models.encoders': 'mmbmtas.encoders',
    'mmbmtas.models.losses': 'mmbmtas.losses',
    'mmbmtas.datasets.files': 'mmbmtas.reading',
    'mmbmtas.datasets.scenes': 'mmbmtas.scenes',
}
"""Old name to new name; modules inside a package that moved as a whole moved with it."""


def new_name(old: str) -> str | None:
    """Return the present name of a module, None if no module of this name has moved."""
    if old in MOVED:
        return MOVED[old]
    package, _, module = old.rpartition('.')
    return f'{MOVED[package]}.{module}' if package in MOVED else None


class _Finder(MetaPathFinder, Loader):
    """Finds a moved module by its old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if new_name(fullname) else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = new_name(old)
        assert new is not None
        warnings.warn(f'{old} has moved: import {new}', DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(new)


def apply() -> None:
    """Let old names be imported; calling it again changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # before the parent's path would give a second copy
