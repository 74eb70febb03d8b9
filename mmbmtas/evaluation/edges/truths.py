"""Boundary truth of the public data sets, read from their own files."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from mmbmtas.errors import InputError
from mmbmtas.evaluation.edges.scoring import evaluation_truth


def list_truths(root: str | Path, dataset: str, split: str = 'val') -> dict[str, Path]:
    """Finds the file that holds each image's boundary truth.

    Args:
        root: ``PASCAL_MT`` or ``NYUD_MT`` folder; for ``bsds`` a folder of ``<id>.mat`` files such
            as ``groundTruth/test``.
        dataset: ``pascal``, ``nyud`` or ``bsds``.
        split: Name of the list of ids; not used for ``bsds``.

    Returns:
        Paths by image id.

    Raises:
        ValueError: The folder is not laid out like that data set, or lacks files (listed).
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
    for image_id in listing.read_text().split():
        paths = [root / folder / f'{image_id}{ending}' for ending in endings]
        truths[image_id] = next((path for path in paths if path.is_file()), paths[0])
    refuse_missing(truths.values(), 'truth')
    return truths


def refuse_missing(paths: Iterable[Path], what: str) -> None:
    """Raises a ``ValueError`` that names the first ten files that are not there."""
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        shown = '\n  '.join(missing[:10] + ['...'] * (len(missing) > 10))
        raise InputError(f'{len(missing)} {what} file(s) missing:\n  {shown}')


def read_truths(path: Path, dataset: str) -> list[NDArray[np.bool_]]:
    """Reads one image's thin truth maps.

    BSDS500's boundaries are used as they are: its benchmark does not thin them.

    Args:
        path: One of :func:`list_truths`.
        dataset: ``pascal``, ``nyud`` or ``bsds``.

    Returns:
        Maps ``(H, W)``; one, or on BSDS500 one an annotator.
    """
    if dataset == 'bsds':
        annotators = loadmat(path, squeeze_me=False)['groundTruth'].reshape(-1)
        return [annotator['Boundaries'][0, 0] > 0 for annotator in annotators]
    if dataset == 'pascal':
        return [evaluation_truth(loadmat(path)['LabelMap'])]
    edge = np.load(path) if path.suffix == '.npy' else read_image(path)
    return [evaluation_truth(edge > 0)]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads a grey 8-bit image ``(H, W)``.

    Raises:
        ValueError: The file can't be decoded, or is not 8-bit with one channel (or equal ones).
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(f'{path} is not an image that can be decoded')
    if image.ndim == 3 and (image[..., :3] == image[..., :1]).all():
        image = image[..., 0]
    if image.ndim != 2 or image.dtype != np.uint8:
        raise InputError(f'{path} is {image.shape} {image.dtype}; expected 8-bit grey')
    return np.asarray(image)
