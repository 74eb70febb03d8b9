"""What tools must know of a data set to identify, check and cache it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmcv.transforms import BaseTransform

from mmbmtas.registry import TRANSFORMS

Split = Literal['train', 'val']
SPLITS: tuple[Split, ...] = ('train', 'val')

Step = str | Mapping[str, Any]
"""A transform: its registered name, or its config."""


@dataclass(frozen=True)
class CachedSteps:
    """Deterministic first steps of a pipeline, which always give the same sample.

    Attributes:
        splits: The splits whose pipelines begin so.
        steps: What follows the image and its labels, in order.
    """

    splits: tuple[Split, ...] = SPLITS
    steps: tuple[Step, ...] = ()

    def build(self) -> tuple[BaseTransform, ...]:
        """Build the transforms."""
        return _build(self.steps)


@dataclass(frozen=True)
class Release:
    """The description of a data set's files; only ``label_loader`` is required.

    With ``label_loader`` a data set can be checked, with ``cached`` it can be cached, with
    ``marks`` its folder tells what it is.

    Attributes:
        label_loader: The transform that reads the labels.
        name: Name of the folder as published; also what its archive's name begins with.
        marks: Folders inside of which any one tells the data set.
        sizes: Number of images of each split as published.
        checks: For a label, a function of its file's path that raises :class:`ValueError` where
            the loader would mend or overlook a value, :class:`mmbmtas.reading.RangeError` where
            one is out of range.
        masks: Labels that are masks, foreground or not; the check notes where some files hold 0
            and 1 and others 0 to 255.
        cached: What the cache holds, by the name of its folder.
        derived: Labels that cached steps add, and the task each comes with.

    Example:
        >>> release = Release(
        ...     label_loader='LoadNYUDv2Labels',
        ...     cached={'full': CachedSteps(), 'half': CachedSteps(('train',), ('MyHalving',))},
        ... )
    """

    label_loader: Step
    name: str | None = None
    marks: tuple[str, ...] = ()
    sizes: Mapping[Split, int] = field(default_factory=dict)
    checks: Mapping[str, Callable[[str], None]] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    cached: Mapping[str, CachedSteps] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)

    def build_label_loader(self) -> BaseTransform:
        """Build the transform that reads the labels."""
        return _build([self.label_loader])[0]

    def build_loaders(self) -> tuple[BaseTransform, ...]:
        """Build what reads a sample: the image, then its labels."""
        return _build(['LoadSampleImage', self.label_loader])


def _build(steps: Sequence[Step]) -> tuple[BaseTransform, ...]:
    return tuple(
        TRANSFORMS.build({'type': step} if isinstance(step, str) else dict(step)) for step in steps
    )
