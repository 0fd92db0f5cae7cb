"""How tests are decided: by p corrected for the size of its family, Benjamini-Hochberg to screen, Holm for claims."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cka_plugin.analysis.statistics.intervals import check_fraction

CORRECTIONS = ("benjamini-hochberg", "holm", "none")


@dataclass(frozen=True)
class Decisions:
    """The rules by which tests are decided and intervals drawn.

    Attributes:
        correction: of p over a family of tests, one of `CORRECTIONS`.
        level: of the intervals.
        alpha: a test is significant where its corrected p is at most this.

    Raises:
        ValueError: an unknown correction, or a level or alpha outside (0, 1).
    """

    correction: str = "benjamini-hochberg"
    level: float = 0.95
    alpha: float = 0.05

    def __post_init__(self) -> None:
        check_fraction(self.level, "level")
        check_fraction(self.alpha, "alpha")
        check_correction(self.correction)


def correct(p: ArrayLike, method: str = "benjamini-hochberg") -> NDArray[np.float64]:
    """p values corrected for the size of their family.

    Args:
        p: (m,) p values. NaN, a test that could not be made, stays NaN but counts as a member of the family (as 1),
            so that the others are not helped by it.
        method: `benjamini-hochberg` (false discovery rate: for screening), `holm` (family-wise error: for claims) or
            `none`.

    Returns:
        (m,) corrected p values; a test is significant at alpha where its corrected p is at most alpha.

    Raises:
        ValueError: an unknown method, or values outside [0, 1].

    Source: Benjamini & Hochberg 1995; Holm 1979.

    Example:
        >>> correct([0.01, 0.02, 0.5], "holm").tolist()
        [0.03, 0.04, 0.5]
    """
    values = np.asarray(p, dtype=np.float64)
    check_correction(method)
    if values.ndim != 1 or np.any((values < 0) | (values > 1)):
        raise ValueError(f"p values of shape {values.shape}: expected (m,) numbers in [0, 1]")
    if method == "none" or values.size == 0:
        return values.copy()
    missing = np.isnan(values)
    family = np.where(missing, 1.0, values)
    if method == "holm":
        order = np.argsort(family, kind="stable")
        steps = np.maximum.accumulate(family[order] * np.arange(family.size, 0, -1))
        corrected = np.empty_like(family)
        corrected[order] = np.minimum(steps, 1.0)
    else:
        corrected = np.asarray(stats.false_discovery_control(family))
    corrected[missing] = math.nan
    return corrected


def check_correction(method: str) -> None:
    """Raise a ValueError unless the correction is known."""
    if method not in CORRECTIONS:
        raise ValueError(f"correction {method!r}: expected one of {', '.join(CORRECTIONS)}")
