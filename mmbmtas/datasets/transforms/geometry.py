"""Transforms that move the pixels of an image and all of its labels together."""

from collections.abc import Mapping, Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmbmtas.errors import InputError
from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.tasks import IGNORE_INDEX

from .labels import check_sizes, iter_labels, resize_nearest

IMAGE_PAD_VALUE = (128, 128, 128)
"""Grey that becomes zero up to rounding (0.004) when 0..255 is mapped to [-1, 1]."""


def scaled_size(results: dict, scale: float) -> tuple[int, int]:
    """Width and height of the scaled image, at least one pixel each."""
    height, width = results['img'].shape[:2]
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


@TRANSFORMS.register_module()
class ResizeSample(BaseTransform):
    """Reduce a whole sample, as the search does before it augments (method, section 2).

    The image is resized bilinearly. Saliency is resized bilinearly and is salient where more than
    half; normals are, too, and made unit vectors again. Class maps and the ``label_map`` that edges
    are derived from take the nearest pixel. Depth takes the nearest pixel, so that unknown depth 0
    does not mix with known, and keeps its values: unlike :class:`RandomScale` this is no change
    of distance. Edges that come from a file (NYUD-v2) take the nearest pixel, our choice.

    Args:
        scale_factor: New size over old size, greater than 0; 0.5 on PASCAL-Context, 2 / 3 on
            NYUD-v2.

    Raises:
        ValueError: If the factor is not greater than 0, or a label has another size than the image.
    """

    def __init__(self, scale_factor: float) -> None:
        if not scale_factor > 0:
            raise InputError(f'scale_factor must be greater than 0, got {scale_factor}')
        self.scale_factor = scale_factor

    def transform(self, results: dict) -> dict:
        """Resize the image, its labels and its label map."""
        check_sizes(results, 'ResizeSample')
        size = scaled_size(results, self.scale_factor)
        results['img'] = mmcv.imresize(results['img'], size)
        results['img_shape'] = results['img'].shape[:2]
        for task, label in iter_labels(results):
            if task.kind == 'normals':
                results[task.key] = _resize_normals(label, size)
            elif task.name == 'saliency':
                results[task.key] = _resize_binary(label, size)
            else:
                results[task.key] = resize_nearest(label, size)
        if 'label_map' in results:
            results['label_map'] = resize_nearest(results['label_map'], size)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale_factor={self.scale_factor})'


def _resize_normals(normals: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average the valid normals around each new pixel whose nearest old one is valid."""
    valid = resize_nearest(np.any(normals, axis=-1).astype(np.uint8), size)
    resized = mmcv.imresize(normals, size)
    length = np.linalg.norm(resized, axis=-1, keepdims=True)
    return np.where(valid[..., None] != 0, resized / np.maximum(length, 1e-6), np.float32(0))


def _resize_binary(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize the foreground smoothly; what is ignored stays ignored, by the nearest pixel."""
    foreground = mmcv.imresize((label == 1).astype(np.float32), size)
    ignored = resize_nearest(label, size) == IGNORE_INDEX
    return np.where(ignored, np.uint8(IGNORE_INDEX), (foreground > 0.5).astype(np.uint8))


@TRANSFORMS.register_module()
class RandomScale(BaseTransform):
    """Scale a sample by a random factor.

    The image is resized bilinearly, every label to the nearest pixel. Depth is divided by the
    factor, since what looks larger is nearer.

    Args:
        scales: Factors to choose from with equal chance, each greater than 0; the default is the
            paper's (section 5).

    Raises:
        ValueError: If there is no factor, one is not greater than 0, or a label has another size
            than the image.
    """

    def __init__(self, scales: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)) -> None:
        if not scales or min(scales) <= 0:
            raise InputError(f'scales must be one or more numbers greater than 0, got {scales}')
        self.scales = tuple(scales)

    @cache_randomness
    def _choose_scale(self) -> float:
        return self.scales[np.random.randint(len(self.scales))]

    def transform(self, results: dict) -> dict:
        """Scale the image and its labels."""
        check_sizes(results, 'RandomScale')
        scale = self._choose_scale()
        results['scale_factor'] = scale
        size = scaled_size(results, scale)
        results['img'] = mmcv.imresize(results['img'], size)
        results['img_shape'] = results['img'].shape[:2]
        for task, label in iter_labels(results):
            scaled = resize_nearest(label, size)
            results[task.key] = scaled / np.float32(scale) if task.kind == 'depth' else scaled
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scales={self.scales})'


@TRANSFORMS.register_module()
class PadToSize(BaseTransform):
    """Pad a sample on all sides so that it lies in the middle; an odd rest goes right and below.

    The image is padded with grey (128), class and binary maps with 255, all others with 0, which
    are ignored unless ``label_values`` says otherwise. Larger sides stay as they are. Adds
    ``padding``, the number of pixels added ``(left, top, right, bottom)``, and where labels are
    not padded ``label_shape``, their size.

    Args:
        size: Least height and width in pixels; default the image's own.
        divisor: Number that height and width become multiples of, for example the network's
            stride.
        pad_labels: Whether to pad the labels as well. In evaluation they keep the image's size and
            predictions are cropped to it.
        label_values: What to pad the labels of some tasks with, by task: the ``ignore`` of a
            ``DepthL1Loss`` that is not 0, for example ``dict(height=-9999)``.

    Raises:
        ValueError: If neither size nor divisor is given, one is not positive, or a label has
            another size than the image.
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        divisor: int = 1,
        pad_labels: bool = True,
        label_values: Mapping[str, float] | None = None,
    ) -> None:
        if (size is None and divisor == 1) or divisor < 1 or min(size or (1,)) < 1:
            raise InputError(
                'PadToSize needs a size of positive height and width, or a divisor of 2 or more; '
                f'got size={size}, divisor={divisor}'
            )
        self.size = tuple(size or (1, 1))
        self.divisor = divisor
        self.pad_labels = pad_labels
        self.label_values = dict(label_values or {})

    def transform(self, results: dict) -> dict:
        """Pad the image and, in training, its labels."""
        height, width = results['img'].shape[:2]
        down, across = (
            -(-max(least, now) // self.divisor) * self.divisor - now
            for least, now in zip(self.size, (height, width), strict=True)
        )
        left, top = across // 2, down // 2
        padding = (left, top, across - left, down - top)
        results['padding'] = padding
        if not self.pad_labels:
            results.setdefault('label_shape', (height, width))
        check_sizes(results, 'PadToSize', results.get('label_shape'))
        if not any(padding):
            return results
        results['img'] = mmcv.impad(results['img'], padding=padding, pad_val=IMAGE_PAD_VALUE)
        results['img_shape'] = results['img'].shape[:2]
        if self.pad_labels:
            for task, label in iter_labels(results):
                value = self.label_values.get(task.name, task.pad_value)
                results[task.key] = _pad_label(label, padding, value)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, divisor={self.divisor}, '
            f'pad_labels={self.pad_labels}, label_values={self.label_values})'
        )


def _pad_label(label: np.ndarray, padding: tuple[int, int, int, int], value: float) -> np.ndarray:
    """A label of any dtype with a border of the value around it."""
    left, top, right, bottom = padding
    height, width = label.shape[:2]
    padded = np.full(
        (height + top + bottom, width + left + right, *label.shape[2:]), value, label.dtype
    )
    padded[top : top + height, left : left + width] = label
    return padded


@TRANSFORMS.register_module()
class RandomCropSample(BaseTransform):
    """Cut a random window out of a sample; :class:`PadToSize` before it makes it large enough.

    Args:
        size: Height and width of the window in pixels.

    Raises:
        ValueError: If the image is smaller than the window, or a label has another size.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)

    @cache_randomness
    def _choose_corner(self, rows: int, columns: int) -> tuple[int, int]:
        return np.random.randint(rows + 1), np.random.randint(columns + 1)

    def transform(self, results: dict) -> dict:
        """Cut the window out of the image and its labels."""
        check_sizes(results, 'RandomCropSample')
        height, width = results['img'].shape[:2]
        if height < self.size[0] or width < self.size[1]:
            raise InputError(
                f'{results.get("img_path")}: an image of {height} x {width} is smaller than the '
                f'crop {self.size}; put PadToSize(size={self.size}) before RandomCropSample'
            )
        top, left = self._choose_corner(height - self.size[0], width - self.size[1])
        window = (slice(top, top + self.size[0]), slice(left, left + self.size[1]))
        results['img'] = results['img'][window]
        results['img_shape'] = results['img'].shape[:2]
        # Where the image lies in a window of it says nothing about evaluation any more.
        results.pop('padding', None)
        for task, label in iter_labels(results):
            results[task.key] = label[window]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class RandomFlipSample(BaseTransform):
    """Mirror a sample left to right at random; normals' x component changes its sign.

    Args:
        prob: Probability of a flip, 0 to 1.

    Raises:
        ValueError: If the probability lies outside 0 to 1, or a label has another size than the
            image.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise InputError(f'prob must lie in 0 to 1, got {prob}')
        self.prob = prob

    @cache_randomness
    def _choose_flip(self) -> bool:
        return bool(np.random.rand() < self.prob)

    def transform(self, results: dict) -> dict:
        """Mirror the image and its labels."""
        check_sizes(results, 'RandomFlipSample')
        results['flip'] = self._choose_flip()
        if not results['flip']:
            return results
        results['img'] = results['img'][:, ::-1]
        for task, label in iter_labels(results):
            if task.kind == 'normals':
                flipped = cv2.flip(label, 1)
                np.negative(flipped[..., 0], out=flipped[..., 0])
            else:
                flipped = label[:, ::-1]  # a view, as the image's: packing copies anyway
            results[task.key] = flipped
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
