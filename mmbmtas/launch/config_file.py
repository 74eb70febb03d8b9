"""Reads a config file; errors name the file and the line."""

import traceback
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.config import DELETE_KEY

from mmbmtas.checkpoints import looks_like_checkpoint
from mmbmtas.errors import InputError, MissingFileError, UserError
from mmbmtas.registry import SCOPE
from mmbmtas.structures.architecture_file import FORMAT as ARCHITECTURE
from mmbmtas.structures.cell_file import FORMAT as CELL
from mmbmtas.structures.documents import read_document


def read_config_file(path: str | Path) -> Config:
    """Read a config file and its bases with mmengine.

    Raises:
        MissingFileError: There is no such file.
        InputError: The file, or a base of it, cannot be read, raises an exception when it is run,
            leads back to itself, or holds nothing.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} is not a config file: there is no such file')
    _refuse_results(path)
    try:
        cfg = Config.fromfile(str(path))
    except UserError:
        raise
    except RecursionError as error:
        raise InputError(
            f'{path} cannot be read: its _base_ includes the file itself, or its entries nest too '
            'deeply'
        ) from error
    except SyntaxError as error:
        where = error.filename if error.filename and Path(error.filename).is_file() else path
        text = f': {error.text.strip():.80}' if error.text else ''
        raise InputError(f'{where}, line {error.lineno}: {error.msg}{text}') from error
    except Exception as error:  # a config is a program: it may raise anything
        told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise InputError(f'{_place(path, error)}: {type(error).__name__}: {told}') from error
    if not [key for key in cfg if not key.startswith('_')]:
        raise InputError(f'{path} is empty: expected the entries of a config')
    if cfg.get('default_scope') == SCOPE:
        _drop_scopes(cfg._cfg_dict)
    drop_delete_marks(cfg._cfg_dict)
    return cfg


def drop_delete_marks(entry: Any) -> None:
    """Remove each ``_delete_`` that mmengine leaves where there was nothing to replace."""
    if isinstance(entry, dict):
        entry.pop(DELETE_KEY, None)
        for value in entry.values():
            drop_delete_marks(value)
    elif isinstance(entry, list | tuple):
        for value in entry:
            drop_delete_marks(value)


def _refuse_results(path: str | Path) -> None:
    """Refuse what a search or a training has written, and say which config takes it.

    Raises:
        InputError: The file is a checkpoint, an architecture or a cell.
    """
    if looks_like_checkpoint(path):
        raise InputError(
            f'{path} is a checkpoint, not a config: name the config that it was trained with first'
        )
    if Path(path).suffix != '.json':
        return
    try:
        document = read_document(path)
    except InputError:
        return  # a config in JSON may be larger than our documents
    kind = document.get('format') if isinstance(document, dict) else None
    if kind == ARCHITECTURE:
        raise InputError(
            f'{path} is an architecture, not a config: name a config of the network, such as '
            f'configs/branched_pascal.py, and give it this file: --cfg-options architecture={path}'
        )
    if kind == CELL:
        raise InputError(
            f'{path} is a cell, not a config: name a config of a network that has a cell, such '
            'as configs/branched_pascal_dpc.py, and give it this file: --cfg-options '
            f'model.backbone.encoder.context.cell={path}'
        )


def _drop_scopes(entry: Any) -> None:
    """Remove the scope that mmengine notes in what ``_base_ = 'mmbmtas::...'`` inherits.

    It is the config's own, and not every part of a config knows this key.
    """
    if isinstance(entry, dict):
        if entry.get('_scope_') == SCOPE:
            del entry['_scope_']
        for value in entry.values():
            _drop_scopes(value)
    elif isinstance(entry, list | tuple):
        for value in entry:
            _drop_scopes(value)


def _place(path: str | Path, error: Exception) -> str:
    """Name the file that an exception comes from and, of a program, the line."""
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        # mmengine compiles a config under the name of its file, and runs it as a module's top.
        if frame.f_code.co_name == '<module>':
            file = frame.f_code.co_filename
            if 'site-packages' not in file and Path(file).is_file():
                return f'{file}, line {line}'
    return str(path)
