"""Power of Welch's test: what is simulated, what is found, and how many models find it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cka_plugin.analysis.statistics.welch import welch
from cka_plugin.analysis.statistics.welch_power import detectable_by_welch, seeds_needed, welch_power


@pytest.mark.parametrize(
    ("difference", "variances", "seeds"),
    [(1.0, (1.0, 1.0), (10, 10)), (1.5, (1.0, 4.0), (8, 12)), (2.0, (1.0, 0.0), (5, 5)), (0.0, (1.0, 1.0), (6, 6))],
)
def test_power_is_that_of_simulated_groups(
    difference: float, variances: tuple[float, float], seeds: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    draws = 20_000
    a = difference + math.sqrt(variances[0]) * rng.normal(size=(seeds[0], draws))
    b = math.sqrt(variances[1]) * rng.normal(size=(seeds[1], draws))
    found = float((welch(a, b).p <= 0.05).mean())
    assert welch_power(difference, variances, seeds) == pytest.approx(found, abs=0.02)


def test_the_detectable_difference_has_the_power() -> None:
    found = detectable_by_welch((0.4, 0.1), (6, 9))
    assert welch_power(found, (0.4, 0.1), (6, 9)) == pytest.approx(0.8, abs=2e-3)
    assert math.isnan(detectable_by_welch((0.0, 0.0), (6, 9)))


def test_the_seeds_needed_are_the_fewest_that_have_it() -> None:
    needed = seeds_needed(0.3, (0.2, 0.3))
    assert needed is not None
    assert welch_power(0.3, (0.2, 0.3), (needed, needed)) >= 0.8 > welch_power(0.3, (0.2, 0.3), (needed - 1,) * 2)
    assert seeds_needed(1e-9, (1.0, 1.0)) is None
    assert math.isnan(welch_power(0.1, (0.0, 0.0), (3, 3)))
