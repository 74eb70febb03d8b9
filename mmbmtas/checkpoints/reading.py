"""Reads one checkpoint from an untrusted file."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from mmbmtas.errors import InputError

from .plain import restore_histories
from .unpickling import load_restricted


def read_checkpoint(file: Path | io.BytesIO, name: str, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    It reads weights, optimiser states and the additions of mmengine (its ``HistoryBuffer`` of the
    log's scalars, numpy arrays and numbers), from any release of torch and numpy. It leaves out the
    config in the ``meta`` of an old checkpoint, which is Python that mmengine would run.

    Args:
        file: The file, or its content.
        name: Its name, for messages.
        map_location: As in ``torch.load``.

    Raises:
        InputError: It is damaged, or holds other objects.
    """
    _check_format(file, name)
    try:
        content = load_restricted(file, map_location)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(
            f'{name} is not a checkpoint that can be read safely: it is damaged, or it holds more '
            f'than weights and training state ({_reason(error)})'
        ) from error
    _check_content(content, name)
    (content.get('meta') or {}).pop('config', None)
    restore_histories(content)
    return content


def is_whole(file: str | Path | io.BytesIO) -> bool:
    """Whether a file is a complete checkpoint, as ``torch.save`` writes it."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = {Path(name).name for name in archive.namelist()}
            return 'data.pkl' in names and archive.testzip() is None
    except Exception:  # damaged bytes may also look like other names, encryption or compression
        return False


def looks_like_checkpoint(file: str | Path) -> bool:
    """Whether a file begins like a file of ``torch.save``, of any release; it may be damaged."""
    with open(file, 'rb') as opened:
        return opened.read(4).startswith((b'PK\x03\x04', b'\x80\x02'))


def _check_format(file: Path | io.BytesIO, name: str) -> None:
    """Refuse damaged files, and files that torch would not read by unpickling.

    Before release 1.6 torch wrote a bare pickle, which has no checksum to compare.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(Path(entry).name == 'constants.pkl' for entry in archive.namelist()):
                raise InputError(
                    f'{name} is a TorchScript program, not a checkpoint: expected a state dict '
                    'written by torch.save'
                )
        if not is_whole(file):
            raise InputError(
                f'{name} is damaged, or not a checkpoint: its bytes do not match its checksums. '
                'Copy or download it again, or use an earlier one'
            )
    elif tarfile.is_tarfile(file):
        raise InputError(f'{name} is an archive, not a checkpoint as torch.save writes them')
    if isinstance(file, io.BytesIO):
        file.seek(0)


_FIELDS: dict[str, tuple[type, ...]] = {
    'state_dict': (Mapping,),
    'meta': (Mapping, NoneType),
    'message_hub': (Mapping,),
    'optimizer': (Mapping,),
    'param_schedulers': (list, Mapping),
    'meta.iter': (int,),
    'meta.epoch': (int,),
    'meta.seed': (int, NoneType),
    'meta.dataset_meta': (Mapping, NoneType),
}
"""Fields that mmengine's checkpoints have, and their types."""


def _check_content(content: Any, name: str) -> None:
    """Refuse content without weights, or with fields of other types than mmengine's."""
    if not isinstance(content, dict):
        raise InputError(f'{name} holds a {type(content).__name__}: expected a dict with weights')
    weights: Any = content.get('state_dict', content.get('model', content))
    found: dict[Any, Any] = {**content, 'state_dict': weights}
    if isinstance(content.get('meta'), Mapping):
        found |= {f'meta.{key}': value for key, value in content['meta'].items()}
    for field, kinds in _FIELDS.items():
        if field in found and not isinstance(found[field], kinds):
            kind = 'dict' if kinds[0] is Mapping else kinds[0].__name__
            raise InputError(
                f'{name}: its {field} is a {type(found[field]).__name__}, expected a {kind}; it is '
                'damaged, or not the checkpoint of a network'
            )
    for field in ('meta.iter', 'meta.epoch'):
        if found.get(field, 0) < 0:
            raise InputError(
                f'{name}: its {field} is {found[field]}, expected a number from 0; it is damaged'
            )
    for key in weights:
        if not isinstance(key, str):
            raise InputError(
                f'{name}: its state_dict has an entry {key!r}, expected names; it is damaged, or '
                'no checkpoint of a network'
            )


def _reason(error: Exception) -> str:
    """Cut torch's page of advice down to its complaint."""
    text = str(error).rpartition('WeightsUnpickler error:')[2].partition('. ')[0].strip()
    return text or type(error).__name__
