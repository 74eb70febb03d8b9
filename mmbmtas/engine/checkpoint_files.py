"""Checkpoint files: written whole or not at all, and found again after an interruption."""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import print_log

from mmbmtas.checkpoints import is_whole
from mmbmtas.writing import NO_SPACE, written_beside

WHOLE_FILES = 'whole'
"""Name of the storage in mmengine's ``backend_args``."""


@register_backend(WHOLE_FILES)
class WholeFileBackend(LocalBackend):
    """mmengine's local files, but a file that is written appears when all of it is on the disk.

    Until then, and if the process is killed meanwhile, what was at the place stays.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file.

        Raises:
            OSError: It can't be written; the message says if that is for want of space.
        """
        path = Path(filepath)
        try:
            with written_beside(path) as beside, beside.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            free = shutil.disk_usage(path.parent).free
            raise OSError(
                error.errno,
                f'no space for the {len(obj) / 1e6:,.1f} MB of {path}: {free / 1e6:,.1f} MB are '
                f'free in {path.parent}. It was not written; earlier checkpoints are unchanged. '
                'Free some space, or keep fewer checkpoints '
                '(default_hooks.checkpoint.max_keep_ckpts), and continue with --resume',
            ) from error


def find_whole_checkpoint(folder: str | Path) -> Path | None:
    """Find the checkpoint to resume a run from: the last one in its folder that is whole.

    That is the one that mmengine's file ``last_checkpoint`` names, or, where that is damaged, the
    newest other one, in the folder or in ``out_dir``. Those passed over are named in a warning.

    Returns:
        The file, or None where there is none.
    """
    for path in _candidates(Path(folder)):
        if is_whole(path):
            return path
        print_log(
            f'{path} is damaged, probably because the run was killed while writing it: it is '
            'skipped.',
            logger='current',
            level=logging.WARNING,
        )
    return None


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield checkpoints that exist, the likeliest first."""
    named, folders = None, [folder]
    record = folder / 'last_checkpoint'
    if record.is_file() and (text := record.read_text(errors='replace').strip()):
        # In the folder, lest a copied run goes on from the original, or in the hook's out_dir.
        places = folder / Path(text).name, Path(text)
        named = next((place for place in places if os.path.isfile(place)), None)
        out_dir = Path(text).parent
        if out_dir.name == folder.resolve().name and os.path.isdir(out_dir):
            folders += [out_dir] * (not out_dir.samefile(folder))
    if named is not None:
        yield named
    found = [path for folder in folders for path in folder.glob('*.pth')]
    others = [path for path in found if re.fullmatch(r'(iter|epoch)_\d+', path.stem)]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
        if named is None or not path.samefile(named):
            yield path
