"""Numbers, intervals and lists of names as people read them, the same in tables, messages and pages."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; `-` where there is none.

    Example:
        >>> number(0.98765), number(float("nan"))
        ('0.988', '-')
    """
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """An interval for a table; `-` where there are too few minibatches for one.

    Example:
        >>> interval(0.5, 0.75), interval(float("nan"), float("nan"))
        ('0.500 to 0.750', '-')
    """
    known = math.isfinite(low) and math.isfinite(high)
    return f"{low:.{digits}f} to {high:.{digits}f}" if known else "-"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: all of them, or the first and last with the number left out between.

    Example:
        >>> listed([f"blocks.{i}" for i in range(40)], most=4)
        'blocks.0, blocks.1, ... (36 more), blocks.38, blocks.39'
    """
    if len(names) <= most:
        return ", ".join(names)
    half = most // 2
    return ", ".join([*names[:half], f"... ({len(names) - 2 * half} more)", *names[-half:]])
