"""Loads checkpoints from files, from addresses, and by the names of published weights.

Each loader replaces one of mmengine's, which unpickle any file.
"""

import difflib
import hashlib
import http.client
import io
import re
import sys
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mm

from mmbmtas.errors import InputError, MissingFileError

from .packages import PREFIX, load_from_package
from .reading import read_checkpoint


def register_loaders() -> None:
    """Make mmengine read all checkpoints with ``read_checkpoint``."""
    loaders: dict[str, Callable[..., Any]] = {
        '': load_from_local,
        'http://': load_from_http,
        'https://': load_from_http,
        'modelzoo://': load_from_torchvision,
        'torchvision://': load_from_torchvision,
        'open-mmlab://': load_from_openmmlab,
        'openmmlab://': load_from_openmmlab,
        'mmcls://': load_from_mmcls,
        r'(\S+\:)?s3://': load_from_storage,
        r'(\S+\:)?petrel://': load_from_storage,
    }
    for prefix in [*mm.CheckpointLoader._schemes]:
        loader = loaders.get(prefix, load_from_nowhere)
        mm.CheckpointLoader.register_scheme(prefix, loader, force=True)
    mm.CheckpointLoader.register_scheme(PREFIX, load_from_package, force=True)


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a local file.

    Raises:
        MissingFileError: There is no such file.
        InputError: It cannot be read safely, see ``read_checkpoint``.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise MissingFileError(f'{filename} is not a checkpoint file: there is no such file')
    return read_checkpoint(path, str(filename), map_location)


def load_from_http(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Download a file to torch's cache, unless it is there, and load it.

    Raises:
        InputError: It cannot be downloaded, does not match the digest in its name, or cannot be
            read safely.
    """
    if not is_main_process():  # the main process downloads, the others find it done
        barrier()
    try:
        path = download(filename)
    finally:
        if is_main_process():
            barrier()
    try:
        return read_checkpoint(path, filename, map_location)
    except InputError:
        path.unlink(missing_ok=True)  # it may have been cut short on its way
        raise


def load_from_torchvision(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load ``torchvision://NAME``, weights that torchvision publishes.

    Raises:
        InputError: No weights have this name, or they cannot be downloaded or read.
    """
    address = _look_up(filename, mm.get_torchvision_models())
    return load_from_http(address, map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load ``open-mmlab://NAME``, weights that OpenMMLab publishes or the user has listed.

    Raises:
        InputError: No weights have this name, or they cannot be downloaded or read.
    """
    scheme, _, name = filename.partition('://')
    current = mm.get_deprecated_model_names().get(name, name)
    address = _look_up(f'{scheme}://{current}', mm.get_external_models())
    if address.startswith(('http://', 'https://')):
        return load_from_http(address, map_location)
    return load_from_local(str(Path(mm._get_mmengine_home(), address)), map_location)


def load_from_mmcls(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load ``mmcls://NAME``: the backbone of a network that OpenMMLab publishes.

    Raises:
        InputError: No network has this name, or it cannot be downloaded or read.
    """
    address = _look_up(filename, mm.get_mmcls_models())
    return mm._process_mmcls_checkpoint(load_from_http(address, map_location))


def load_from_storage(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a file from storage that mmengine's backend ``petrel`` reads.

    Raises:
        InputError: The backend's library is missing, or the file cannot be read safely.
    """
    try:
        backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    except ImportError as error:
        raise InputError(f'{filename} cannot be read here: {error}') from error
    return read_checkpoint(io.BytesIO(backend.get(filename)), filename, map_location)


def load_from_nowhere(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuse an address that only mmengine's own, unsafe loaders can read.

    Raises:
        InputError: Always.
    """
    raise InputError(
        f'{filename}: checkpoints at such addresses cannot be read safely. Copy the file to this '
        'machine and name the copy'
    )


def download(url: str) -> Path:
    """Download a file, unless it is in torch's cache under its whole address.

    Names of torchvision and OpenMMLab end with the beginning of the file's SHA-256 digest. For such
    a name the digest is checked, also of a cached file, and a file cached under its name alone is
    accepted too.

    Returns:
        The file in the cache.

    Raises:
        InputError: It cannot be downloaded, or its digest differs.
    """
    cache = Path(torch.hub.get_dir(), 'checkpoints')
    name = Path(unquote(urlsplit(url).path)).name or 'checkpoint'
    path = cache / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    digest = digest_in_name(name)
    for cached in (path, cache / name) if digest else (path,):
        if cached.is_file() and (digest is None or _sha256(cached).startswith(digest)):
            return cached
    print_log(f'Downloading {url} to {path}', logger='current')
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), digest, progress=sys.stderr.isatty())
    except RuntimeError as error:
        raise InputError(f'{url} is not the file that its name promises: {error}') from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as e:
        raise InputError(f'{url} cannot be downloaded: {e}') from e
    return path


def digest_in_name(name: str) -> str | None:
    """Return the beginning of a digest from the end of a file's name; a date is not a digest."""
    found = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
    is_date = found and re.fullmatch(r'(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])', found[1])
    return found[1] if found and not is_date else None


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _look_up(filename: str, addresses: Mapping[str, str]) -> str:
    """Look up the address of weights by their published name."""
    name = filename.partition('://')[2]
    if name not in addresses:
        near = difflib.get_close_matches(name, addresses, n=1)
        hint = f': did you mean {near[0]!r}?' if near else ''
        raise InputError(f'{filename}: no weights are published under the name {name!r}{hint}')
    return addresses[name]
