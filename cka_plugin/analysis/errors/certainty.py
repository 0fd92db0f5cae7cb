"""Are the accuracies of two models different, equivalent, or is that not known? And what would settle it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cka_plugin.analysis.statistics.paired import mcnemar
from cka_plugin.analysis.statistics.power import detectable_difference, examples_needed
from cka_plugin.analysis.statistics.welch_power import detectable_by_welch, seeds_needed
from cka_plugin.core import Floats
from cka_plugin.tables import Result

EQUIVALENT = 0.01  # a difference of accuracies of so much or less counts as none: a convention
POWER = 0.8


@dataclass(frozen=True, repr=False)
class Certainty(Result):
    """What the examples at hand tell of a difference of two accuracies; made by `certainty_of`.

    Attributes:
        verdict: `different` where the exact McNemar test finds a difference; `equivalent` where it does not and the
            interval lies within one percentage point of none; else `inconclusive`.
        detectable: the smallest true difference that the test finds on so many examples with a power of 80%, where as
            large a share of the examples is discordant (one model alone is right) as here; where that share allows
            none, the smallest of all, with every discordant example of one side. NaN where no difference is found.
        needed: about how many examples a true difference of the size at hand takes, at the share of discordant examples
            at hand; None without a difference, and beyond ten million.
        difference: of the accuracies.
        n: examples.
        power: of both figures.
        margin: a difference of so much or less counts as none.
    """

    verdict: str
    detectable: float
    needed: int | None
    difference: float
    n: int
    power: float = POWER
    margin: float = EQUIVALENT

    def __repr__(self) -> str:
        if self.verdict == "equivalent":
            return f"equivalent: the interval lies within {self.margin:.0%} of no difference"
        if math.isnan(self.detectable):
            seen = f"no difference, however large, shows on {self.n:,} examples with a power of {self.power:.0%}"
        else:
            seen = (
                f"{self.n:,} examples show a true difference of {_percent(self.detectable)} or more with a power of "
                f"{self.power:.0%}"
            )
        if self.verdict == "different":
            return f"different: {seen}"
        if self.difference == 0:
            return f"inconclusive: {seen}" + ("" if math.isnan(self.detectable) else "; a smaller one takes more")
        size = _percent(abs(self.difference))
        takes = "more than ten million" if self.needed is None else f"about {self.needed:,}"
        return f"inconclusive: {seen}; one of the size at hand, {size}, takes {takes}"


@dataclass(frozen=True, repr=False)
class GroupCertainty(Result):
    """What the models at hand tell of a difference between two groups of them; made by `of_groups`.

    Attributes:
        verdict: `different`, `equivalent` or `inconclusive`, as of `Certainty`, by Welch's test and its interval.
        detectable: the smallest true difference of mean accuracies that the test finds on so many models with a power
            of 80%, if they vary as these do; NaN where they do not vary.
        needed: about how many models of either group a true difference of the size at hand takes; None without a
            difference, or for more than 100,000.
        difference: of the mean accuracies.
        seeds: models in either group.
        power: of both figures.
        margin: a difference of so much or less counts as none.
    """

    verdict: str
    detectable: float
    needed: int | None
    difference: float
    seeds: tuple[int, int]
    power: float = POWER
    margin: float = EQUIVALENT

    def __repr__(self) -> str:
        if self.verdict == "equivalent":
            return f"equivalent: the interval lies within {self.margin:.2g} of no difference"
        if math.isnan(self.detectable):
            return f"{self.verdict}: all models of a group have the same accuracy, so that nothing can be told"
        seen = (
            f"{self.verdict}: {self.seeds[0]} and {self.seeds[1]} models show a true difference of "
            f"{_percent(self.detectable)} or more with a power of {self.power:.0%}"
        )
        if self.verdict != "inconclusive" or self.needed is None:
            return seen
        return f"{seen}; one of the size at hand, {_percent(abs(self.difference))}, takes about {self.needed:,} of each"


def certainty_of(only_a: int, only_b: int, n: int, interval: tuple[float, float], alpha: float = 0.05) -> Certainty:
    """What two counts of discordant examples tell, and how many examples would tell more.

    Args:
        only_a: examples that a alone gets right.
        only_b: examples that b alone gets right.
        n: all examples.
        interval: of the difference of accuracies.
        alpha: of the test.

    Source: Lachin 1992 for the power; Schuirmann 1987 for equivalence by an interval within a margin.

    Example:
        >>> found = certainty_of(6, 2, 100, (-0.02, 0.10))
        >>> found.verdict, round(found.detectable, 3), found.needed
        ('inconclusive', 0.079, 421)
        >>> certainty_of(3, 3, 10_000, (-0.0006, 0.0006)).verdict
        'equivalent'
    """
    difference, discordant = (only_a - only_b) / n, (only_a + only_b) / n
    detectable = detectable_difference(n, discordant, POWER, alpha) if discordant else math.nan
    if math.isnan(detectable):
        detectable = detectable_difference(n, None, POWER, alpha)
    needed = examples_needed(abs(difference), discordant, POWER, alpha) if difference else None
    verdict = _verdict(mcnemar(only_a, only_b) <= alpha, interval)
    return Certainty(verdict, detectable, needed, difference, n)


def of_groups(
    accuracies: tuple[Floats, Floats],
    interval: tuple[float, float],
    p: float,
    alpha: float,
    margin: float = EQUIVALENT,
) -> GroupCertainty:
    """What the accuracies of two groups of models tell, and how many models would tell more.

    Args:
        accuracies: of the models of either group.
        interval: Welch's, of the difference.
        p: of Welch's test; NaN where neither group varies.
        alpha: of the test.
        margin: a difference of so much or less counts as none.

    Source: Jan & Shieh 2011 for the power of Welch's test.
    """
    variances = _variance(accuracies[0]), _variance(accuracies[1])
    seeds = len(accuracies[0]), len(accuracies[1])
    difference = float(accuracies[0].mean() - accuracies[1].mean())
    return GroupCertainty(
        _verdict(p <= alpha, interval, margin),
        detectable_by_welch(variances, seeds, POWER, alpha),
        seeds_needed(difference, variances, POWER, alpha),
        difference,
        seeds,
        margin=margin,
    )


def _variance(accuracies: Floats) -> float:
    """0 for equal numbers, whose mean is not always that number."""
    return float(accuracies.var(ddof=1)) if np.ptp(accuracies) > 0 else 0.0


def _verdict(found: bool, interval: tuple[float, float], margin: float = EQUIVALENT) -> str:
    if found:
        return "different"
    return "equivalent" if interval[0] >= -margin and interval[1] <= margin else "inconclusive"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.2g}"
