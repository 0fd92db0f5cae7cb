"""Does one figure of models go with another? Rank correlation over models, tested by permuting them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cka_plugin.tables import Result, short

ALPHA = 0.05
PERMUTATIONS = 9999


@dataclass(frozen=True, repr=False)
class Relation(Result):
    """How two figures of models go together; made by `relate`, `Summary.relate`.

    Attributes:
        x: name of the one.
        y: name of the other.
        correlation: Spearman's, over models; NaN where one of the two is the same for all.
        p: two-sided, by permuting the models.
        n: models that have both figures.
        smallest_p: that so many models can reach at all.
        needed: the smallest size of a correlation that these figures would take for p of 0.05; NaN where none would.
    """

    x: str
    y: str
    correlation: float
    p: float
    n: int
    smallest_p: float
    needed: float

    @property
    def verdict(self) -> str:
        """`related`, `not shown`, or `inconclusive` where so few models could hardly have shown anything."""
        if math.isnan(self.p) or not self.needed <= 0.95:
            return "inconclusive" if not self.p <= ALPHA else "related"
        return "related" if self.p <= ALPHA else "not shown"

    def __repr__(self) -> str:
        text = f"{self.x} and {self.y} over {self.n} models: "
        if math.isnan(self.correlation):
            return f"{text}no rank correlation, since one of the two is the same for all, or fewer than 3 have both"
        text += f"rank correlation {self.correlation:+.2f}, p = {short(self.p)} by permuting the models"
        if self.verdict == "inconclusive":
            can = "no correlation" if math.isnan(self.needed) else f"only one of {self.needed:.2f} or more"
            return f"{text}; inconclusive: with {self.n} models {can} would reach p = {ALPHA}; give more models"
        return text


def relate(x: ArrayLike, y: ArrayLike, names: tuple[str, str] = ("x", "y"), seed: int = 0) -> Relation:
    """Spearman's rank correlation of two figures of models, with its permutation p.

    Args:
        x: (models,) numbers; models with NaN in either are left out.
        y: (models,) numbers.
        names: of the two.
        seed: of the permutations, which are all made where there are at most 9,999.

    Raises:
        ValueError: not as many of the one as of the other.

    Source: Spearman 1904; exact permutation as `scipy.stats.permutation_test`.

    Example:
        >>> relate([1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5], ("width", "share")).verdict
        'related'
        >>> relate([1, 2, 3, 4], [1, 2, 3, 4], ("width", "share")).verdict
        'inconclusive'
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"figures of shapes {first.shape} and {second.shape}: expected (models,) of each")
    known = np.isfinite(first) & np.isfinite(second)
    a, b = stats.rankdata(first[known]), stats.rankdata(second[known])
    n = int(known.sum())
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Relation(*names, math.nan, math.nan, n, math.nan, math.nan)

    centred = (b - b.mean()) / np.linalg.norm(b - b.mean()) / np.linalg.norm(a - a.mean())

    def correlation(ranks: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.moveaxis(ranks, axis, -1) @ centred)

    test = stats.permutation_test(
        (a,),
        correlation,
        permutation_type="pairings",
        n_resamples=PERMUTATIONS,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    sizes = np.sort(np.abs(test.null_distribution))[::-1]
    draws = len(sizes)
    added = 0 if draws == math.factorial(n) else 1
    p_of = (np.searchsorted(-sizes, -sizes + 1e-9, side="right") + added) / (draws + added)
    significant = sizes[p_of <= ALPHA]
    return Relation(
        *names,
        float(test.statistic),
        float(test.pvalue),
        n,
        smallest_p=float(p_of[0]),
        needed=float(significant.min()) if significant.size else math.nan,
    )
