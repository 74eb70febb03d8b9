"""Inspects label files: which numbers they hold, and which kind of label they are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.progress import Progress
from mmbmtas.reading import (
    mat_variables,
    read_image,
    read_index_image,
    read_mat,
    read_npy,
    read_stored_values,
)

_MOST_CLASSES = 64
"""More different numbers than this are values, not classes."""
_MOST_COLOURS = 64
_NEARLY = 16
_PURE = 0.95
_MOST_STORED = 4096
_SHRINKING = {'depth', 'distance', 'dist', 'range'}
_NORMALS = {'normal', 'normals', 'normalmap'}
_VALUES = {*_SHRINKING, 'disparity', 'disp', 'height', 'heights', 'dem', 'dsm', 'temperature',
           'thermal', 'heat', 'density'}  # fmt: skip
_MILLIMETRES = 100
"""Depth of a larger median than this is in millimetres; rooms and streets are a few metres."""


@dataclass
class Facts:
    """What the files of a group hold.

    Attributes:
        read: Number of files that were read.
        shapes: Heights and widths, with the number of files of each.
        kinds: Types of the stored numbers, with the number of files of each.
        counts: Pixels of each stored number; of colours, red times 65536 and so on. At most 4096.
        overflown: Whether there are more different numbers.
        lowest: The lowest number.
        highest: The highest.
        sample: Numbers drawn from all files.
        even: Share of pixels that equal their right neighbour.
        unit_length: Share of vectors of unit length, where three channels may be normals.
        channels: 1, or 3 for vectors and colours.
        is_lossy: Whether files are JPEG, which blurs borders.
        variable: The variable in ``.mat`` files.
        by_file: Height and width by file.
        unreadable: What is wrong with the files that cannot be read, by file.
    """

    read: int = 0
    shapes: Counter[tuple[int, int]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    counts: Counter[float] = field(default_factory=Counter)
    overflown: bool = False
    lowest: float = np.inf
    highest: float = -np.inf
    sample: list[np.ndarray] = field(default_factory=list)
    even: float = 0.0
    unit_length: float = 0.0
    channels: int = 1
    is_lossy: bool = False
    variable: str | None = None
    by_file: dict[str, tuple[int, int]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def numbers(self) -> list[float]:
        """The different stored numbers, in order; not all of them if they are too many."""
        return sorted(self.counts)

    def values(self, but: Sequence[float] = ()) -> np.ndarray:
        """Drawn numbers, finite and other than some."""
        drawn = np.concatenate(self.sample) if self.sample else np.zeros(0)
        return drawn[np.isfinite(drawn) & ~np.isin(drawn, but)]


def look_into(root: Path, paths: Sequence[str]) -> Facts:
    """Read files and note what they hold.

    Args:
        root: The folder.
        paths: The files, below it.
    """
    facts = Facts()
    even, unit = [], []
    with Progress(len(paths), f'reading {Path(paths[0]).parent}') as progress:
        for path in paths:
            progress.advance()
            try:
                array = _read_any(root / path, facts)
            except InputError as error:
                facts.unreadable[path] = str(error).removeprefix(f'{root / path}: ')
                continue
            facts.read += 1
            facts.by_file[path] = array.shape[:2]
            facts.shapes[array.shape[:2]] += 1
            facts.kinds[array.dtype.name] += 1
            if array.ndim == 3:
                facts.channels = array.shape[2]
                unit.append(_share_of_unit_vectors(array))
                if array.dtype.kind == 'f':
                    continue
                array = (array.astype(np.int64) * [1 << 16, 1 << 8, 1]).sum(-1)
            even.append(np.mean(array[:, 1:] == array[:, :-1]) if array.shape[1] > 1 else 1.0)
            _count(facts, array, _MOST_STORED if facts.channels == 1 else _MOST_COLOURS)
    facts.even = float(np.mean(even)) if even else 0.0
    facts.unit_length = float(np.mean(unit)) if unit else 0.0
    return facts


def _share_of_unit_vectors(array: np.ndarray) -> float:
    """Share of the vectors of unit length, of floats or of colours that may stand for them."""
    vectors = array if array.dtype.kind == 'f' else array.astype(np.float64) * 2 / 255 - 1
    length = np.linalg.norm(vectors, axis=-1)
    known = length[length > 0.1]
    return float(np.mean(np.abs(known - 1) < 0.1)) if known.size else 0.0


def _count(facts: Facts, array: np.ndarray, most: int) -> None:
    """Count the different numbers, until there are more than ``most``."""
    finite = array[np.isfinite(array)]
    if not finite.size:
        return
    facts.lowest = min(facts.lowest, float(finite.min()))
    facts.highest = max(facts.highest, float(finite.max()))
    step = max(1, finite.size // 4096)
    facts.sample.append(finite[::step].astype(np.float64))
    # Large maps of many numbers would take seconds each to count.
    facts.overflown |= len(np.unique(finite[:: max(1, finite.size // 65536)])) > most
    if facts.overflown:
        return
    if finite.dtype in (np.uint8, np.uint16):
        every = np.bincount(finite)
        numbers = np.flatnonzero(every)
        counts = every[numbers]
    else:
        numbers, counts = np.unique(finite, return_counts=True)
    facts.counts.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    facts.overflown = len(facts.counts) > most


def _read_any(path: Path, facts: Facts) -> np.ndarray:
    """Read a label file of any form: numbers ``(H, W)``, or colours or vectors ``(H, W, 3)``."""
    ending = path.suffix.lower()
    facts.is_lossy |= ending in ('.jpg', '.jpeg')
    if ending == '.npy':
        array = read_npy(path)
    elif ending == '.mat':
        variables = [name for name in mat_variables(path) if not name.startswith('__')]
        if len(variables) != 1:
            raise InputError(f'expected one variable, found {", ".join(variables) or "none"}')
        facts.variable = variables[0]
        array = read_mat(path, variables[0])
    else:
        return _read_picture(path)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or array.dtype.kind not in 'biuf' or array.size == 0:
        raise InputError(f'expected a map of numbers, found {array.dtype} of shape {array.shape}')
    if array.ndim == 3 and array.shape[2] != 3:
        raise InputError(f'expected one or three numbers per pixel, found shape {array.shape}')
    return array.astype(np.uint8) if array.dtype.kind == 'b' else array


def _read_picture(path: Path) -> np.ndarray:
    try:
        return read_index_image(path)
    except InputError:
        pass
    try:
        return read_stored_values(path)
    except InputError:
        colours = read_image(path)[..., ::-1]
    grey = not np.ptp(colours, axis=-1).any()
    return colours[..., 0] if grey else colours


@dataclass
class Guess:
    """The kind of label that a group holds, and the settings of ``FolderMT``.

    Attributes:
        spec: ``kind`` and its settings.
        why: For settings that were guessed, by name: from what.
        notes: What else is worth saying.
    """

    spec: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def guess_kind(words: Sequence[str], facts: Facts, names: Sequence[str] | None) -> Guess | None:
    """Guess what labels are, by their names and what is in them.

    Args:
        words: Words in the names of the files and their folder.
        facts: What is in them.
        names: Names of classes that were found.

    Returns:
        The guess, None where the files are no labels of a kind that can be trained.
    """
    if facts.channels == 3:
        return _guess_vectors(words, facts)
    if _is_blurred_mask(facts):
        return Guess({'kind': 'binary'}, {'kind': 'almost all pixels are black or white'})
    whole = all(kind[0] != 'f' for kind in facts.kinds) or all(n == int(n) for n in facts.counts)
    few = not facts.overflown and len(facts.counts) <= _MOST_CLASSES
    called_values = bool(_VALUES & {*words})
    if whole and few and not called_values and facts.even > 0.5 and facts.lowest >= 0:
        return _guess_classes(facts, names)
    return _guess_values(words, facts)


def _is_blurred_mask(facts: Facts) -> bool:
    """Tell whether pictures are masks that JPEG, or smoothing, has blurred at their borders."""
    lossy = facts.is_lossy and len(facts.counts) > 2
    if {*facts.kinds} != {'uint8'} or not (lossy or len(facts.counts) > _MOST_CLASSES):
        return False
    drawn = facts.values()
    black, white = np.mean(drawn < _NEARLY), np.mean(drawn > 255 - _NEARLY)
    return bool(black + white > _PURE and min(black, white) > 0)


def _guess_vectors(words: Sequence[str], facts: Facts) -> Guess | None:
    """Normals, or coloured masks."""
    called = bool(_NORMALS & {*words})
    if (facts.unit_length > 0.9 and (facts.overflown or not facts.counts)) or called:
        guess = Guess({'kind': 'normals'})
        if not called:
            guess.why['kind'] = 'almost all vectors have unit length'
        return guess
    if facts.overflown or not facts.counts:
        return None
    colours = [[n >> 16 & 255, n >> 8 & 255, n & 255] for n in map(int, facts.numbers)]
    names = [f'colour {red} {green} {blue}' for red, green, blue in colours]
    return Guess(
        {'kind': 'classes', 'classes': names, 'colours': colours},
        {'colours': f'each of the {len(colours)} colours was taken as a class'},
        ['give the classes their names'],
    )


def _guess_classes(facts: Facts, names: Sequence[str] | None) -> Guess:
    """Masks of two numbers, or classes."""
    numbers = [int(number) for number in facts.numbers]
    if {*numbers} <= {0, 1} or {*numbers} <= {0, 255}:
        return Guess({'kind': 'binary'}, {'kind': f'the only numbers are {numbers}'})
    stored = [number for number in numbers if number != 255]
    why: dict[str, str] = {}
    spec: dict[str, Any] = {'kind': 'classes'}
    if 255 in numbers:
        why['ignore'] = '255 means unlabelled'
    listed = names is not None and len(names) > max(stored)
    if not listed and (max(stored) > 254 or max(stored) + 1 > 2 * len(stored) + 2):
        spec['ids'] = stored
        why['ids'] = 'the numbers that occur'
        if names is not None and len(names) == len(stored):
            listed = True
    if listed and names is not None:
        spec['classes'] = [*names]
    else:
        count = len(stored) if 'ids' in spec else max(stored) + 1
        of = spec.get('ids') or range(count)
        spec['classes'] = [f'class {number}' for number in of]
        why['classes'] = (
            'there is no file of their names'
            if names is None
            else f'the file of names has {len(names)}, the labels have numbers up to {max(stored)}'
        )
    return Guess(spec, why)


def _guess_values(words: Sequence[str], facts: Facts) -> Guess | None:
    """Values: depth by its name, with a unit by its size; others as they are."""
    if not facts.sample:
        return None
    spec: dict[str, Any] = {'kind': 'value'}
    guess = Guess(spec)
    whole = all(kind[0] in 'iu' for kind in facts.kinds)
    shrinks = bool(_SHRINKING & {*words})
    if not _VALUES & {*words}:
        guess.why['kind'] = 'more different numbers than classes have'
    if shrinks:
        spec['shrinks'] = True
        guess.why['shrinks'] = 'by its name: what looks larger is nearer'
    invalid = []
    if whole and shrinks and facts.lowest == 0:
        invalid.append(0)
    if whole and facts.highest == 65535:
        invalid.append(65535)
    if invalid:
        spec['invalid'] = invalid[0] if len(invalid) == 1 else invalid
        guess.why['invalid'] = 'taken as unknown'
    known = facts.values(invalid)
    if shrinks and known.size:
        median = float(np.median(known))
        if whole and all(kind == 'uint8' for kind in facts.kinds):
            guess.notes.append('8 bits: in no unit that could be told')
        elif median > _MILLIMETRES:
            spec['scale'] = 0.001
            spec['unit'] = 'm'
            guess.why['scale'] = f'a median of {median:g} looks like millimetres'
        else:
            spec['unit'] = 'm'
            guess.why['unit'] = f'a median of {median:.3g} looks like metres'
    return guess
