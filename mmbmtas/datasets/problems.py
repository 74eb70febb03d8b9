"""Problems and notes of a data set's files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal['split', 'missing', 'unreadable', 'size', 'range']

Remark = Literal['turned', 'mask of 0 and 1', 'mask of 0 to 255']
"""What is worth knowing of a file though it is not wrong."""


@dataclass(frozen=True)
class Problem:
    """One problem of a file.

    Attributes:
        kind: ``split`` (a list of ids), ``missing``, ``unreadable`` (damaged, or another structure
            or format), ``size`` or ``range`` (of values).
        path: The file.
        message: What was expected and what was found.
    """

    kind: Kind
    path: str
    message: str


ExtraCheck = Callable[[str], Sequence[Problem]]
"""A function of a label's file that lists what is wrong, in this file or another."""
