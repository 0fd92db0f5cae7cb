"""Whether one CKA differs from another: their difference, jackknifed as such over the same minibatches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cka_plugin.core import MIN_MINIBATCHES, Sums
from cka_plugin.tables import Result, short


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """The difference between two entries of CKA matrices on the same minibatches.

    Attributes:
        value: the first minus the second.
        low: lower end of its jackknife interval; NaN where there are fewer than 8 minibatches.
        high: upper end.
        p: two-sided, Student's t with one degree of freedom less than minibatches.
    """

    value: float
    low: float
    high: float
    p: float

    def __repr__(self) -> str:
        if math.isnan(self.low):
            return f"The CKA differ by {self.value:+.3f} (no interval: it needs {MIN_MINIBATCHES} minibatches)"
        return f"The CKA differ by {self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}], p = {short(self.p)}"


def difference(
    first: Sums, cell: tuple[int, int], second: Sums, other_cell: tuple[int, int], level: float = 0.95
) -> Difference:
    """Whether one entry of a CKA matrix differs from another of the same or another matrix, on the same minibatches.

    Leaving a minibatch out changes both entries together, so the difference is known better than either. Later passes
    improve the estimate, not the interval.

    Args:
        first: inner products per minibatch.
        cell: (row, column) of the entry.
        second: the same sums, or those of other models on the same minibatches.
        other_cell: (row, column) of the entry that is subtracted.
        level: of the interval.

    Raises:
        ValueError: different minibatches, or a level outside (0, 1).
    """
    from scipy.stats import t

    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level!r}: expected a number between 0 and 1, such as 0.95")
    if not np.array_equal(first.first_pass, second.first_pass):
        raise ValueError(
            f"sums over {len(first.xy)} and {len(second.xy)} minibatches: a paired difference needs the same ones"
        )
    x, y = _cell(first, cell), _cell(second, other_cell)
    value = float(x.cka()[0, 0] - y.cka()[0, 0])
    left_out = (x.leave_one_out() - y.leave_one_out())[:, 0, 0]
    count = len(left_out)
    if count < MIN_MINIBATCHES or not math.isfinite(value):
        return Difference(value, math.nan, math.nan, math.nan)
    error = float(np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum()))
    half = float(t.ppf(0.5 + level / 2, count - 1)) * error
    if error > 0:
        p = float(2 * t.sf(abs(value) / error, count - 1))
    else:
        p = 1.0 if value == 0 else 0.0
    return Difference(value, value - half, value + half, p)


def _cell(sums: Sums, cell: tuple[int, int]) -> Sums:
    row, column = cell
    return Sums(
        sums.xy[:, row : row + 1, column : column + 1],
        sums.xx[:, row : row + 1],
        sums.yy[:, column : column + 1],
        sums.first_pass,
    )
