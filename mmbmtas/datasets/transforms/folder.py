"""The transform that reads the labels of a folder of a user's own."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from mmbmtas.datasets.folder_labels import FolderLabel
from mmbmtas.registry import TRANSFORMS

from .loading import LoadLabels


@TRANSFORMS.register_module()
class LoadFolderLabels(LoadLabels):
    """Read the labels of a :class:`FolderMT` sample; follows :class:`LoadSampleImage`.

    Adds ``gt_<task>`` for each label (see ``docs/design.md`` for their arrays) and ``label_keys``.

    Args:
        labels: How the files of each task are read. The data set fills them in.

    Raises:
        ValueError: If a file cannot be decoded, or has another size, structure or range of values
            than expected.
    """

    def __init__(self, labels: Mapping[str, FolderLabel] | None = None) -> None:
        self.labels = labels

    def readers(self) -> dict[str, Callable[[str, dict], np.ndarray]]:
        """A function for each label name."""
        return {task: partial(_read, label) for task, label in (self.labels or {}).items()}

    def __repr__(self) -> str:
        return f'{type(self).__name__}({[*(self.labels or {}).values()]})'


def _read(label: FolderLabel, path: str, results: dict) -> np.ndarray:
    return label.read(path)
