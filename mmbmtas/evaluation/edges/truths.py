"""Read the boundary truth of the public data sets from their own files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.edges.scoring import evaluation_truth
from mmbmtas.reading import plane, read_id_list, read_mask, read_mat


def list_truths(root: str | Path, dataset: str, split: str = 'val') -> dict[str, Path]:
    """Find the file of each image's boundary truth.

    Args:
        root: ``PASCAL_MT`` or ``NYUD_MT`` folder; for ``bsds`` a folder of ``<id>.mat`` files such
            as ``groundTruth/test``.
        dataset: ``pascal``, ``nyud`` or ``bsds``.
        split: Name of the list of ids; not used for ``bsds``.

    Returns:
        Paths by image id.

    Raises:
        ValueError: The folder does not have the layout of this data set, or files are missing (the
            message lists them).
    """
    root = Path(root)
    if dataset == 'bsds':
        truths = {path.stem: path for path in sorted(root.glob('*.mat'))}
        if not truths:
            raise InputError(f'no .mat file in {root}')
        return truths
    folder, lists = {
        'pascal': ('pascal-context/trainval', 'ImageSets/Context'),
        'nyud': ('edge', 'gt_sets'),
    }[dataset]
    listing = root / lists / f'{split}.txt'
    if not listing.is_file():
        raise InputError(f'{listing} not found; is {root} the root of the {dataset} data set?')
    endings = ('.mat',) if dataset == 'pascal' else ('.png', '.npy')
    truths = {}
    for image_id in read_id_list(listing):
        paths = [root / folder / f'{image_id}{ending}' for ending in endings]
        truths[image_id] = next((path for path in paths if path.is_file()), paths[0])
    refuse_missing(truths.values(), 'truth')
    return truths


def refuse_missing(paths: Iterable[Path], what: str) -> None:
    """Raise a ``ValueError`` that names the first ten missing files."""
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        shown = '\n  '.join(missing[:10] + ['...'] * (len(missing) > 10))
        raise InputError(f'{len(missing)} {what} file(s) missing:\n  {shown}')


def read_truths(path: Path, dataset: str) -> list[NDArray[np.bool_]]:
    """Read one image's thin truth maps.

    BSDS500's boundaries are used as they are: its benchmark does not thin them.

    Args:
        path: One of :func:`list_truths`.
        dataset: ``pascal``, ``nyud`` or ``bsds``.

    Returns:
        Maps ``(H, W)``: one, or one per annotator on BSDS500.

    Raises:
        ValueError: The file cannot be decoded, or does not hold such maps.
    """
    if dataset == 'bsds':
        annotators = read_mat(path, 'groundTruth').reshape(-1)
        try:
            maps = [plane(path, annotator['Boundaries'][0, 0]) > 0 for annotator in annotators]
        except (IndexError, TypeError, AttributeError, KeyError) as error:
            raise InputError(
                f'{path}: expected a cell groundTruth of structures with Boundaries, found '
                'another structure'
            ) from error
        if not maps:
            raise InputError(f'{path}: expected at least one annotator in groundTruth, found none')
        return maps
    if dataset == 'pascal':
        return [evaluation_truth(plane(path, read_mat(path, 'LabelMap')))]
    return [evaluation_truth(read_mask(path) == 1)]
