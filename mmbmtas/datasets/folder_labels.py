"""Readers of the label files of a user's own folder, by kind of label."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mmbmtas.errors import InputError
from mmbmtas.reading import (
    RangeError,
    as_mask,
    plane,
    read_colour_normals,
    read_grey,
    read_image,
    read_mask_values,
    read_mat,
    read_npy,
    read_stored_values,
    read_text,
)
from mmbmtas.structures.palettes import class_palette
from mmbmtas.structures.tasks import IGNORE_INDEX, LabelKind
from mmbmtas.structures.values import (
    Colour,
)

from .stored_values import require_metres

_COLOUR_WEIGHTS = np.array([1 << 16, 1 << 8, 1], np.uint32)


@dataclass(frozen=True)
class FolderLabel(ABC):
    """The content of the files of a task.

    Attributes:
        task: Name of the task.
        files: Pattern of the files' names, below the data set's folder, with ``{stem}`` in the
            place of the image's own name and ``*`` for anything; without an ending, any known one
            will do.
        variable: Name of the variable in ``.mat`` files; default the task's name.
    """

    task: str
    files: str
    variable: str

    KIND: ClassVar[str]
    ENDINGS: ClassVar[tuple[str, ...]] = ('png', 'npy', 'mat', 'tif', 'tiff', 'bmp')

    def __post_init__(self) -> None:
        """Refuse a pattern that cannot name the files of an image."""
        if not isinstance(self.files, str) or self.files.count('{stem}') != 1:
            raise InputError(
                f'labels.{self.task}.files {self.files!r}: expected a pattern with {{stem}} in it '
                f"once, such as '{self.task}/{{stem}}.png'"
            )

    @property
    def task_kind(self) -> LabelKind:
        """How transforms, pictures and files treat the maps."""
        return self.KIND  # type: ignore[return-value]

    @abstractmethod
    def read(self, path: str) -> np.ndarray:
        """Read a file into the form that ``docs/design.md`` defines for this kind."""

    def _numbers(self, path: str) -> np.ndarray:
        """The numbers of an array or a single-channel image, ``(H, W)``."""
        array = self._array(path)
        return read_stored_values(path) if array is None else plane(path, array)

    def _array(self, path: str) -> np.ndarray | None:
        """The array of a file that is no image."""
        ending = path.lower()
        if ending.endswith('.npy'):
            return read_npy(path)
        return read_mat(path, self.variable) if ending.endswith('.mat') else None


@dataclass(frozen=True)
class ClassesLabel(FolderLabel):
    """A class for each pixel.

    Attributes:
        classes: Names of the classes, in their order.
        ids: Stored number of each class, where these are not 0, 1, 2, ...
        colours: Colour of each class, where the masks store colours.
        ignore: Stored numbers, or colours, that are left out; by default 255, of colours none.
    """

    classes: tuple[str, ...]
    ids: tuple[int, ...] | None = None
    colours: tuple[Colour, ...] | None = None
    ignore: tuple[int, ...] | tuple[Colour, ...] | None = None

    KIND = 'classes'

    def __post_init__(self) -> None:
        """Refuse tables that do not fit the classes."""
        super().__post_init__()
        where = f'labels.{self.task}'
        if self.ids is not None and self.colours is not None:
            raise InputError(f'{where}: state ids or colours, not both')
        for name, table in (('ids', self.ids), ('colours', self.colours)):
            if table is not None and not len(table) == len({*table}) == len(self.classes):
                raise InputError(
                    f'{where}.{name} {[*table]}: expected {len(self.classes)} different entries, '
                    'one for each class'
                )
        stated = {*self._stored()}
        both = [entry for entry in self.ignore or () if entry in stated]
        if both:
            raise InputError(f'{where}.ignore: {both[0]} is also that of a class')

    def _stored(self) -> Sequence[Any]:
        """Return the value that stands for each class in a file."""
        return self.colours or self.ids or range(len(self.classes))

    def _ignored(self) -> Sequence[Any]:
        if self.ignore is not None:
            return self.ignore
        return () if self.colours or IGNORE_INDEX in self._stored() else (IGNORE_INDEX,)

    @property
    def palette(self) -> list[Colour]:
        """Colours for pictures."""
        return [*self.colours] if self.colours else class_palette(len(self.classes))

    def read(self, path: str) -> np.ndarray:
        """Read the class of each pixel, uint8 ``(H, W)`` with 255 where it is left out.

        Raises:
            RangeError: A number or colour is none of those that are stated.
        """
        if self.colours:
            stored = _as_number(read_image(path)[..., ::-1])
            known, ignored = (
                _as_number(np.array(table, np.uint8).reshape(-1, 3))
                for table in (self.colours, self._ignored())
            )
        else:
            stored = self._indices(path)
            known, ignored = (np.array(t, np.int64) for t in (self._stored(), self._ignored()))
        found, inverse = np.unique(stored, return_inverse=True)
        table = np.full(found.shape, -1)
        table[np.isin(found, ignored)] = IGNORE_INDEX
        for index, number in enumerate(known):
            table[found == number] = index
        if (table < 0).any():
            raise RangeError(f'{path}: {self._unknown(found[table < 0])}')
        return table[inverse].reshape(stored.shape).astype(np.uint8)

    def _indices(self, path: str) -> np.ndarray:
        """Stored class numbers; colour images of equal channels are grey."""
        try:
            numbers = self._numbers(path)
        except RangeError:
            raise
        except InputError as error:
            try:
                numbers = read_grey(path)
            except InputError:
                raise InputError(
                    f'{error}; if the masks are colours, state labels.{self.task}.colours, one for '
                    'each class'
                ) from error
        whole = numbers.astype(np.int64)
        if not np.array_equal(whole, numbers):
            part = numbers[whole != numbers][0]
            raise RangeError(f'{path}: expected whole numbers, found {part}')
        return whole

    def _unknown(self, found: np.ndarray) -> str:
        """Say which stored number or colour is of no class, and what would be."""
        if self.colours:
            colour = [int(found[0]) >> shift & 255 for shift in (16, 8, 0)]
            return (
                f'the colour {colour} is of no class: labels.{self.task} states '
                f'{len(self.classes)} colours, and {len(self._ignored())} to ignore'
            )
        ids = self._stored()
        expected = f'{ids[0]} to {ids[-1]}' if isinstance(ids, range) else f'one of {[*ids]}'
        ignored = ''.join(f' or {number}' for number in self._ignored())
        return f'expected classes {expected}{ignored}, found {", ".join(map(str, found[:4]))}'


def _as_number(colours: np.ndarray) -> np.ndarray:
    """RGB colours ``(..., 3)`` as one number each."""
    return (colours.astype(np.uint32) * _COLOUR_WEIGHTS).sum(-1, dtype=np.uint32)


@dataclass(frozen=True)
class BinaryLabel(FolderLabel):
    """Foreground or not for each pixel.

    Attributes:
        ignore: Stored numbers that are left out, such as 255 in masks of 0, 1 and 255.
    """

    ignore: tuple[float, ...] = ()

    KIND = 'binary'
    ENDINGS = (*FolderLabel.ENDINGS, 'jpg', 'jpeg')

    def read(self, path: str) -> np.ndarray:
        """Read a mask, uint8 ``(H, W)``: 0, 1, and 255 where it is left out."""
        array = self._array(path)
        values, highest = read_mask_values(path) if array is None else (plane(path, array), 255)
        ignored = np.isin(values, self.ignore)
        mask = as_mask(path, np.where(ignored, 0, values), highest)
        mask[ignored] = IGNORE_INDEX
        return mask


@dataclass(frozen=True)
class ValueLabel(FolderLabel):
    """A value for each pixel, such as depth, height or temperature.

    The value is ``stored * scale + offset``.

    Attributes:
        scale: What stored numbers are multiplied by, 0.001 for metres out of millimetres.
        offset: What is added then.
        invalid: Stored numbers that mean an unknown value; NaN and infinite ones always do.
        unit: Unit of the values, for pictures and tables.
        shrinks: Whether an object's value shrinks as its picture grows, as depth does: scaling an
            image by s divides its values by s. Such values are above 0, and 0 is unknown.
    """

    scale: float = 1.0
    offset: float = 0.0
    invalid: tuple[float, ...] = ()
    unit: str = ''
    shrinks: bool = False

    KIND = 'value'

    @property
    def task_kind(self) -> LabelKind:
        """``depth`` where values shrink as the picture grows."""
        return 'depth' if self.shrinks else 'value'

    def read(self, path: str) -> np.ndarray:
        """Read values, float32 ``(H, W)``; unknown ones are NaN, or 0 if they shrink.

        Raises:
            RangeError: Values that shrink are below 0.
        """
        stored = self._numbers(path)
        unknown = ~np.isfinite(stored) | np.isin(stored, self.invalid)
        values = stored.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)
        values[unknown] = 0 if self.shrinks else math.nan
        if self.shrinks and (values < 0).any():
            raise RangeError(
                f'{path}: expected values of 0 or more, found {values.min():g} {self.unit}: state '
                f'labels.{self.task}.invalid, or shrinks=False if it is not a distance'
            )
        return values


def check_metres(label: ValueLabel, path: str) -> None:
    """Raise where depth that should be in metres is in other units by its median.

    Raises:
        RangeError: It is above 100.
    """
    require_metres(path, label.read(path), f'state labels.{label.task}.scale=0.001')


@dataclass(frozen=True)
class NormalsLabel(FolderLabel):
    """A surface normal x, y, z for each pixel: an array, or colours ``n = 2 v / 255 - 1``."""

    KIND = 'normals'
    ENDINGS = (*FolderLabel.ENDINGS, 'jpg', 'jpeg')

    def read(self, path: str) -> np.ndarray:
        """Read normals, float32 ``(H, W, 3)``; unknown ones are zero."""
        stored = self._array(path)
        if stored is None:
            return read_colour_normals(path)
        if stored.ndim != 3 or stored.shape[2] != 3 or stored.dtype.kind not in 'iuf':
            raise InputError(f'{path}: expected normals of shape (H, W, 3), found {stored.shape}')
        normals = stored.astype(np.float32)
        normals[~np.isfinite(normals).all(axis=-1)] = 0
        length = np.linalg.norm(normals, axis=-1)
        if length.max(initial=0) > 2:
            raise RangeError(f'{path}: expected unit vectors, found one of length {length.max():g}')
        return normals


@dataclass(frozen=True)
class ImageLabel(FolderLabel):
    """One class of the whole image: the name of the class, or its number from 0, in a text file.

    Attributes:
        classes: Names of the classes, in their order.
    """

    classes: tuple[str, ...]

    KIND = 'label'
    ENDINGS = ('txt',)

    def read(self, path: str) -> np.ndarray:
        """Read the number of the class, uint8 without dimensions.

        Raises:
            RangeError: The text is neither a class nor the number of one.
        """
        text = read_text(path).strip()
        if text in self.classes:
            return np.array(self.classes.index(text), np.uint8)
        if text.isdecimal() and int(text) < len(self.classes):
            return np.array(int(text), np.uint8)
        raise RangeError(
            f'{path}: expected one of the classes {", ".join(self.classes[:8])}'
            f'{", ..." * (len(self.classes) > 8)}, or a number from 0 to '
            f'{len(self.classes) - 1}, found {text[:40]!r}'
        )
