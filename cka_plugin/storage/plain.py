"""Whether plain data, read as JSON from a file that somebody may have changed, are what is expected there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

Fits: TypeAlias = Callable[[Any], bool]

_LARGEST = 2**62  # of whole numbers that are counted on with


def text(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(value: Any) -> bool:
    """A whole number that fits 64 bits.

    Example:
        >>> whole(3), whole(3.0), whole(True), whole(2**70)
        (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def count(value: Any) -> bool:
    """A whole number from 0."""
    return whole(value) and value >= 0


def example_id(value: Any) -> bool:
    """A text or a whole number."""
    return text(value) or whole(value)


def or_none(fits: Fits) -> Fits:
    """What fits, or nothing."""
    return lambda value: value is None or fits(value)


def list_of(fits: Fits) -> Fits:
    """A list, all of which fits.

    Example:
        >>> list_of(count)([1, 2]), list_of(count)([1, -2]), list_of(count)("12")
        (True, False, False)
    """
    return lambda value: isinstance(value, list) and all(map(fits, value))


def named(fits: Fits) -> Fits:
    """An object, all of whose values fit."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))
