"""Checks of what a user states in a config: what fits, and what to say otherwise."""

import functools
import inspect
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from mmbmtas.errors import InputError

from .documents import is_count, is_positive_number

MAX_CHANNELS = 65_536
"""More channels than any layer here has."""
MAX_SIDE = 65_536
"""Pixels; more than any image here has on a side."""

Init = TypeVar('Init', bound=Callable[..., None])


def filled_in_from(key: str, entry: str) -> Callable[[Init], Init]:
    """Say where an argument of a constructor comes from, if a config leaves it out.

    Args:
        key: The key at the top of a config that stands for the argument.
        entry: The argument's dotted name in a config; its last part is the argument.
    """
    argument = entry.rpartition('.')[2]

    def decorate(init: Init) -> Init:
        signature = inspect.signature(init)

        @functools.wraps(init)
        def checked(*args: Any, **kwargs: Any) -> None:
            if argument not in signature.bind_partial(*args, **kwargs).arguments:
                raise InputError(
                    f'{entry} is missing. State it, or state {key} at the top of the config and '
                    'build the runner by mmbmtas.launch.build_runner(cfg), which fills it in'
                )
            init(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def require_count(name: str, value: Any, least: int = 1, most: int = MAX_CHANNELS) -> int:
    """Return a value that is a whole number in a range.

    Args:
        name: What the message calls the value, for example ``'channels of DeepLabV3PlusHead'``.
        value: What the user stated.
        least: The smallest number that fits.
        most: The largest.

    Raises:
        InputError: It is not.
    """
    if not (is_count(value) and least <= value <= most):
        raise InputError(f'{name} {value!r}: expected a whole number from {least} to {most}')
    return value


def require_number(name: str, value: Any, least: float = -math.inf) -> float:
    """Return a value that is a finite number, at least ``least``.

    Raises:
        InputError: It is not.
    """
    usual = isinstance(value, int | float) and not isinstance(value, bool)
    if not (usual and math.isfinite(value) and value >= least):
        bound = '' if least == -math.inf else f', {least:g} or more'
        raise InputError(f'{name} {value!r}: expected a finite number{bound}')
    return value


def require_positive(name: str, value: Any, most: float = math.inf) -> float:
    """Return a value that is a finite number above 0, at most ``most``.

    Raises:
        InputError: It is not.
    """
    if not (is_positive_number(value) and value <= most):
        bound = '' if most == math.inf else f', at most {most:g}'
        raise InputError(f'{name} {value!r}: expected a finite number above 0{bound}')
    return value


def require_share(name: str, value: Any, below_one: bool = False) -> float:
    """Return a value that is a number from 0 to 1, or to less than 1.

    Raises:
        InputError: It is not.
    """
    usual = isinstance(value, int | float) and not isinstance(value, bool)
    if not (usual and 0 <= value <= 1 and not (below_one and value == 1)):
        end = 'less than 1' if below_one else '1'
        raise InputError(f'{name} {value!r}: expected a number from 0 to {end}')
    return value


def require_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Return a value that is one of some names.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f'{name} {value!r}: expected one of {[*choices]}')
    return value


def require_shape(name: str, value: Any) -> tuple[int, int]:
    """Return a height and a width in pixels.

    Raises:
        InputError: The value is not two whole numbers from 1 to :data:`MAX_SIDE`.
    """
    listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not (listed and all(is_count(side) and 1 <= side <= MAX_SIDE for side in value)):
        raise InputError(
            f'{name} {value!r}: expected height and width, two whole numbers from 1 to {MAX_SIDE}'
        )
    height, width = value
    return height, width
