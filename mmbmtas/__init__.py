"""Branched multi-task architecture search on MMSegmentation."""

import importlib.metadata
import importlib.util

from packaging.version import Version

from mmbmtas.version import __version__

_Range = tuple[str, str]

# Import name: names of its distributions, lowest version that serves, first version that does not.
_NEEDED: dict[str, tuple[tuple[str, ...], _Range]] = {
    'mmcv': (('mmcv', 'mmcv-lite', 'mmcv-full'), ('2.0.1', '2.2.0')),
    'mmengine': (('mmengine', 'mmengine-lite'), ('0.10.4', '1.0.0')),
    'mmpretrain': (('mmpretrain',), ('1.2.0', '2.0.0')),
    'mmseg': (('mmsegmentation',), ('1.2.2', '2.0.0')),
}


def _check_versions() -> None:
    """Refuse, before anything breaks in a stranger way, mm packages that do not fit.

    The maintained forks ``onedl-*`` and source trees on the path count their versions in their own
    way and are taken as they are.

    Raises:
        ImportError: naming what was found and what is needed, for all packages at once.
    """
    complaints = []
    for module, (distributions, (lowest, too_new)) in _NEEDED.items():
        if any(map(_version, (f'onedl-{name}' for name in distributions))):
            continue
        name = distributions[0]
        found = next(filter(None, map(_version, distributions)), None)
        needed = f'{name}>={lowest},<{too_new} is needed'
        if found is not None:
            if not Version(lowest) <= Version(found) < Version(too_new):
                complaints.append(f'{needed}, found {found}')
        elif importlib.util.find_spec(module) is None:
            complaints.append(f'{needed}, none found')
    if complaints:
        raise ImportError(
            '; '.join(complaints)
            + '. Install them with: pip install -r requirements/mminstall.txt '
            '-c requirements/constraints.txt (mmcv-lite also works)'
        )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


_check_versions()

from mmbmtas import compat, moved  # noqa: E402  (import what was just checked)

compat.apply()
moved.apply()

__all__ = ['__version__']
