"""Checks of the values that a user states in a config, with error messages."""

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

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

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


def require_fraction(name: str, value: Any) -> float:
    """Return a value that is a number from 0 to below 1.

    Raises:
        InputError: It is not.
    """
    if require_number(name, value, least=0) >= 1:
        raise InputError(f'{name} {value!r}: expected a number from 0 to below 1')
    return value


def require_numbers(name: str, value: Any) -> tuple[float, ...]:
    """Return one finite number, or a list of them, as a tuple.

    Raises:
        InputError: It is something else.
    """
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(require_number(name, number) for number in listed)


def require_text(name: str, value: Any) -> str:
    """Return a value that is text.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, str):
        raise InputError(f'{name} {value!r}: expected text')
    return value


def require_switch(name: str, value: Any) -> bool:
    """Return a value that is True or False.

    Raises:
        InputError: It is not.
    """
    if not isinstance(value, bool):
        raise InputError(f'{name} {value!r}: expected True or False')
    return value


def require_colours(name: str, value: Any) -> tuple[Colour, ...]:
    """Return a list of colours, red, green and blue from 0 to 255.

    Raises:
        InputError: It is something else.
    """
    if not isinstance(value, list | tuple) or not all(map(_is_colour, value)):
        raise InputError(
            f'{name} {value!r:.80}: expected a list of colours [red, green, blue] of 0 to 255'
        )
    return tuple((colour[0], colour[1], colour[2]) for colour in value)


def _is_colour(value: Any) -> bool:
    listed = isinstance(value, list | tuple) and len(value) == 3
    return listed and all(is_count(part) and 0 <= part <= 255 for part in value)
