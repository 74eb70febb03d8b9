"""How PASCAL-Context's label files become label maps."""

from collections.abc import Iterator

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.reading import RangeError, SizeError, read_mat

PERSON = 15
"""VOC class of people, counted from 1."""

NUM_LABEL_MAP_IDS = 460
"""Values of ``LabelMap``: 0 unlabelled, 1 to 459."""

PARTS: dict[str, int] = {
    name: index
    for index, names in enumerate(
        (
            'head hair lear rear leye reye lebrow rebrow nose mouth',
            'torso neck',
            'luarm ruarm',
            'llarm rlarm lhand rhand',
            'luleg ruleg',
            'llleg rlleg lfoot rfoot',
        ),
        start=1,
    )
    for name in names.split()
}
"""Part names of the annotation, merged into six parts, 1 to 6."""

# Classes whose distilled normals are trusted (the public release's list).
_NORMALS_IDS = (
    '3 4 6 9 10 11 13 15 17 18 22 23 29 30 33 34 36 37 38 39 41 43 46 49 50 51 53 55 56 59 61 62 '
    '65 66 68 69 72 73 78 83 84 85 87 88 95 96 101 104 105 107 111 113 115 122 124 135 141 142 143 '
    '146 150 154 157 158 159 165 172 174 181 183 184 191 193 195 197 199 202 213 215 216 219 220 '
    '223 225 228 230 232 233 238 239 242 243 246 250 251 252 255 260 261 263 269 272 273 275 281 '
    '283 284 285 286 287 288 290 291 292 293 295 304 307 309 310 314 315 319 323 329 330 331 336 '
    '342 345 349 350 351 352 355 357 368 370 371 374 379 380 383 384 397 401 403 405 407 408 411 '
    '412 413 414 417 419 421 423 427 429 430 432 440 441 442 443 444 446 454 457'
)
NORMALS_VALID = np.isin(np.arange(NUM_LABEL_MAP_IDS), [int(i) for i in _NORMALS_IDS.split()])
"""Whether normals are valid, by ``LabelMap`` value."""
_NUM_VOC_OBJECTS = 20


def read_label_map(path: str) -> np.ndarray:
    """Read the 459-class label map, of which edges and the validity of normals are derived.

    Args:
        path: File ``pascal-context/trainval/<id>.mat``.

    Returns:
        uint16, ``(H, W)``, 0 to 459.

    Raises:
        ValueError: If the file does not hold such a map.
    """
    label_map = read_mat(path, 'LabelMap')
    if label_map.ndim != 2 or label_map.dtype.kind not in 'iuf' or label_map.size == 0:
        raise InputError(
            f'{path}: expected LabelMap as an H x W array of class ids, '
            f'found {label_map.dtype} of shape {label_map.shape}'
        )
    low, high = label_map.min(), label_map.max()
    if not (low >= 0 and high < NUM_LABEL_MAP_IDS):
        raise RangeError(f'{path}: expected class ids 0 to 459 in LabelMap, found {low} to {high}')
    return label_map.astype(np.uint16, copy=False)


def read_object_classes(path: str) -> list[int]:
    """List the VOC class of each object of an image.

    Args:
        path: File ``human_parts/<id>.mat``.

    Returns:
        Class of each object, 1 to 20; :data:`PERSON` for people.

    Raises:
        ValueError: If the file does not hold part annotations.
    """
    return [voc_class for voc_class, _ in _objects(path)]


def check_object_classes(path: str) -> None:
    """Check that part annotations name classes of VOC.

    Raises:
        RangeError: They name another.
    """
    wrong = [c for c in read_object_classes(path) if not 1 <= c <= _NUM_VOC_OBJECTS]
    if wrong:
        raise RangeError(f'{path}: expected class_ind 1 to {_NUM_VOC_OBJECTS}, found {wrong[0]}')


def read_human_parts(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Draw the parts of all people of an image, later ones over earlier ones.

    Args:
        path: File ``human_parts/<id>.mat``.
        shape: Height and width of the image in pixels.

    Returns:
        uint8, ``(H, W)``, 0 background, 1 to 6 as in :data:`PARTS`.

    Raises:
        ValueError: If the file does not hold part annotations, or a mask has another size.
    """
    target = np.zeros(shape, np.uint8)
    for voc_class, parts in _objects(path):
        if voc_class != PERSON or parts.size == 0:
            continue
        try:
            named_masks = [(str(p['part_name'].item()), p['mask']) for p in parts.ravel()]
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise _structure_error(path) from error
        for name, mask in named_masks:
            if name not in PARTS:
                raise InputError(f'{path}: expected parts {", ".join(PARTS)}; found {name!r}')
            if mask.shape != shape:
                raise SizeError(
                    f'{path}: expected masks of the size of the image, {shape}, '
                    f'found {mask.shape} for part {name!r}'
                )
            target[mask.astype(bool)] = PARTS[name]
    return target


def _objects(path: str) -> Iterator[tuple[int, np.ndarray]]:
    """The VOC class and the parts of each object."""
    anno = read_mat(path, 'anno')
    try:
        for entry in anno['objects'].item().ravel():
            yield int(entry['class_ind'].item()), entry['parts']
    except (ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
        raise _structure_error(path) from error


def _structure_error(path: str) -> InputError:
    return InputError(
        f'{path}: expected a structure anno with objects of class_ind, mask and parts '
        '(of part_name and mask), found another structure'
    )
