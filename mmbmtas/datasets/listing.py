"""Whether files exist, by one listing of each folder instead of one query a file."""

import os
from pathlib import Path


class Listing:
    """The names in the folders below a root, read when they are first asked for.

    Args:
        root: The root.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)
        self._names: dict[str, set[str]] = {}

    def __contains__(self, relative: str) -> bool:
        """Whether a file exists, by its path below the root with forward slashes."""
        folder, _, name = relative.rpartition('/')
        if folder not in self._names:
            path = self._root / folder
            self._names[folder] = set(os.listdir(path)) if path.is_dir() else set()
        return name in self._names[folder]
