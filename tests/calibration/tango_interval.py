"""How often Tango's interval for a difference holds the truth: `python -m tests.calibration.tango_interval` (a minute).

Nothing is drawn: for each number of examples, share of discordant pairs and true difference, all tables are
enumerated with their probabilities, so the figures have no simulation error. The grid: 5 to 400 examples; 0.05 to 40
expected discordant pairs; true differences of 0 to all of the discordant share. Wald's interval, difference ± z
standard errors, stands beside it for comparison.

Coverage found at a level of 0.95, from the smallest to the largest over the grid:

| expected discordant pairs                   | Tango          | mean  | Wald, smallest | mean  |
|---------------------------------------------|----------------|-------|----------------|-------|
| 10 or more                                  | 0.933 to 0.978 | 0.951 | 0.891          | 0.939 |
| fewer, at most half of the examples         | 0.927 to 1.000 | 0.970 | 0.049          | 0.798 |
| fewer, more than half of 5 or 10 examples   | 0.914 to 0.990 | 0.962 | 0.400          | 0.853 |
| (of all these, those with 10 examples)      | 0.914 to 1.000 | 0.974 | 0.049          | 0.783 |
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import stats

from cka_plugin.analysis.statistics.intervals import tango_interval

SIZES = (5, 10, 20, 50, 100, 200, 400)
EXPECTED_PAIRS = (0.05, 0.5, 1, 2, 3, 4, 5, 5.5, 6, 6.5, 7, 8, 8.5, 9, 9.5, 10, 12, 15, 20, 40)
LEANINGS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)  # true difference, as a share of the discordant pairs
LEVEL = 0.95


@cache
def tango(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    return tango_interval(only_a, only_b, n, LEVEL)


def wald(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    z = stats.norm.isf((1 - LEVEL) / 2)
    difference = (only_a - only_b) / n
    error = math.sqrt(max((only_a + only_b) / n - difference**2, 0.0) / n)
    return difference - z * error, difference + z * error


def coverage(n: int, discordant: float, difference: float, interval=tango) -> float:  # type: ignore[no-untyped-def]
    """Exact probability that `interval` holds `difference`, for n pairs of which a share `discordant` is discordant."""
    share_a = (discordant + difference) / 2
    towards_a = share_a / discordant
    held = 0.0
    weights = stats.binom.pmf(np.arange(n + 1), n, discordant)
    for pairs in np.flatnonzero(weights > 1e-12).tolist():
        split = stats.binom.pmf(np.arange(pairs + 1), pairs, towards_a)
        for only_a in np.flatnonzero(split > 1e-12).tolist():
            low, high = interval(only_a, pairs - only_a, n)
            if low <= difference <= high:
                held += float(weights[pairs] * split[only_a])
    return held


def cells() -> list[tuple[int, float, float]]:
    """The grid: (n, share of discordant pairs, difference)."""
    return [
        (n, expected / n, leaning * expected / n)
        for n in SIZES
        for expected in EXPECTED_PAIRS
        if expected < n
        for leaning in LEANINGS
    ]


def main() -> None:
    found = [(n, share, coverage(n, share, gap), coverage(n, share, gap, wald)) for n, share, gap in cells()]

    def show(title: str, rows: list[tuple[int, float, float, float]]) -> None:
        tangos, walds = [row[2] for row in rows], [row[3] for row in rows]
        print(
            f"{title:<52} Tango {min(tangos):.3f} to {max(tangos):.3f}, mean {np.mean(tangos):.3f};"
            f" Wald from {min(walds):.3f}, mean {np.mean(walds):.3f}"
        )

    show("10 or more expected discordant pairs", [row for row in found if row[0] * row[1] >= 10])
    few = [row for row in found if row[0] * row[1] < 10]
    show("fewer, at most half of the examples discordant", [row for row in few if row[1] <= 0.5])
    show("fewer, more than half discordant (5 or 10 examples)", [row for row in few if row[1] > 0.5])
    show("classes of 10 examples", [row for row in found if row[0] == 10])


if __name__ == "__main__":
    main()
