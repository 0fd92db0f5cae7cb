"""Power of the exact McNemar test: against counting all outcomes, and against itself turned round."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.statistics.paired import mcnemar
from cka_plugin.analysis.statistics.power import detectable_difference, examples_needed, mcnemar_power


@pytest.mark.parametrize(("n", "only_a", "only_b"), [(12, 0.5, 0.1), (20, 0.3, 0.3), (9, 0.9, 0.0), (40, 0.2, 0.05)])
def test_power_is_the_probability_of_all_outcomes_that_are_found(n: int, only_a: float, only_b: float) -> None:
    outcome = stats.multinomial(n, [only_a, only_b, 1 - only_a - only_b])
    counted = sum(
        outcome.pmf([a, b, n - a - b])
        for a, b in itertools.product(range(n + 1), repeat=2)
        if a + b <= n and mcnemar(a, b) <= 0.05
    )
    assert mcnemar_power(n, only_a, only_b) == pytest.approx(counted, abs=1e-9)


def test_without_a_difference_the_test_keeps_to_its_level() -> None:
    assert all(mcnemar_power(n, share, share) <= 0.05 for n in (10, 50, 300) for share in (0.02, 0.2, 0.5))


@pytest.mark.parametrize("discordant", [None, 0.3])
@pytest.mark.parametrize("n", [30, 256, 5000])
def test_the_detectable_difference_is_found_with_the_power_that_is_stated(n: int, discordant: float | None) -> None:
    difference = detectable_difference(n, discordant)
    if math.isnan(difference):
        assert discordant is not None
        return
    for change, found in ((0.0, True), (-1e-3, False)):
        one = difference + change if discordant is None else (discordant + difference + change) / 2
        other = 0.0 if discordant is None else (discordant - difference - change) / 2
        assert (mcnemar_power(n, one, other) >= 0.8) is found


def test_five_examples_show_nothing() -> None:
    assert math.isnan(detectable_difference(5))
    assert detectable_difference(6) == pytest.approx(0.8 ** (1 / 6), abs=1e-5)  # all six must be of one side


@pytest.mark.parametrize(("difference", "discordant"), [(0.2, None), (0.05, 0.1), (0.01, 0.05)])
def test_the_examples_needed_do(difference: float, discordant: float | None) -> None:
    n = examples_needed(difference, discordant)
    assert n is not None
    share = difference if discordant is None else discordant
    one, other = (share + difference) / 2, (share - difference) / 2
    assert mcnemar_power(n, one, other) >= 0.8
    assert mcnemar_power(int(0.9 * n), one, other) < 0.8
    simulated = np.random.default_rng(0).multinomial(n, [one, other, 1 - share], size=2000)
    assert np.mean([mcnemar(a, b) <= 0.05 for a, b, _ in simulated]) == pytest.approx(0.8, abs=0.04)


def test_a_difference_too_small_for_any_number_of_examples_has_none() -> None:
    assert examples_needed(1e-6, 0.5) is None
    with pytest.raises(ValueError, match="expected a share of them above 0"):
        examples_needed(0.2, 0.1)
