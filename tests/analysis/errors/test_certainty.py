"""A difference of accuracies is shown, ruled out or inconclusive; what is inconclusive says what would settle it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cka_plugin.analysis.errors.certainty import certainty_of
from cka_plugin.analysis.errors.compare import ErrorComparison, compare_errors
from cka_plugin.analysis.errors.group_result import GroupComparison
from cka_plugin.analysis.errors.groups import compare_groups
from cka_plugin.analysis.statistics.power import mcnemar_power


def errors(only_a: int, only_b: int, both: int) -> ErrorComparison:
    """Models of which so many examples are right in one alone, and in both."""
    labels = np.zeros(only_a + only_b + both, dtype=int)
    a, b = labels.copy(), labels.copy()
    b[:only_a] = 1
    a[only_a : only_a + only_b] = 1
    return compare_errors(a, b, labels, ["cat", "dog"])


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((30, 2, 200), "different"),
        ((6, 2, 92), "inconclusive"),
        ((3, 3, 9994), "equivalent"),
        ((0, 0, 5), "inconclusive"),
    ],
)
def test_the_verdict_has_three_answers(counts: tuple[int, int, int], verdict: str) -> None:
    found = errors(*counts)
    assert found.verdict == verdict
    assert verdict in repr(found)
    assert f"\n{verdict}: " in str(found)


def test_what_would_settle_it_does() -> None:
    found = errors(6, 2, 92).certainty
    discordant, difference = 0.08, 0.04
    one, other = (discordant + difference) / 2, (discordant - difference) / 2
    assert found.needed is not None
    assert mcnemar_power(found.needed, one, other) >= 0.8
    assert mcnemar_power(found.needed // 2, one, other) < 0.8
    one, other = (discordant + found.detectable) / 2, (discordant - found.detectable) / 2
    assert mcnemar_power(100, one, other) == pytest.approx(0.8, abs=1e-3)
    assert f"100 examples show a true difference of {found.detectable:.1%}" in repr(found)
    assert f"one of the size at hand, 4.0%, takes about {found.needed}" in repr(found)


def test_five_examples_show_no_difference() -> None:
    found = errors(2, 1, 2).certainty
    assert math.isnan(found.detectable)
    assert "no difference, however large, shows on 5 examples" in repr(found)


def test_models_that_are_right_alike_have_nothing_to_be_needed() -> None:
    found = certainty_of(2, 2, 50, (-0.1, 0.1))
    assert found.needed is None
    assert repr(found).endswith("a smaller one takes more")


def test_it_goes_into_json_with_the_classes_that_are_too_small() -> None:
    labels = np.repeat([0, 1], [60, 3])
    found = compare_errors(labels, np.zeros_like(labels), labels)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["verdict"] == plain["certainty"]["verdict"] == "inconclusive"
    assert plain["classes_too_small"] == found.classes_too_small == 1
    assert "; too few examples to tell of 1>" in repr(found)


def groups(gap: float, seeds: int, spread: float = 0.02, n: int = 2000, margin: float = 0.01) -> GroupComparison:
    """Seeds of two architectures whose accuracies differ by about `gap`."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)

    def predicted(accuracy: float) -> list[np.ndarray]:
        return [np.where(rng.random(n) < rng.normal(accuracy, spread), labels, 1 - labels) for _ in range(seeds)]

    return compare_groups(predicted(0.8 + gap), predicted(0.8), labels, splits=5, margin=margin)


def test_groups_of_models_admit_not_knowing_too() -> None:
    few = groups(0.01, 4)
    assert few.verdict == "inconclusive"
    found = few.certainty
    assert f"\ninconclusive: 4 and 4 models show a true difference of {found.detectable:.1%} or more" in str(few)
    assert f"takes about {found.needed:,} of each" in str(few)
    assert ", inconclusive, " in repr(few)
    assert json.loads(json.dumps(few.to_dict(), allow_nan=False))["certainty"]["needed"] == found.needed
    assert groups(0.2, 4).verdict == "different"
    assert groups(0.0, 8, spread=0.0, n=20_000).verdict == "equivalent"


def test_groups_are_equivalent_within_the_margin_that_is_given() -> None:
    narrow, wide = groups(0.0, 8), groups(0.0, 8, margin=0.05)
    assert narrow.overall.high - narrow.overall.low > 2 * narrow.margin
    assert narrow.verdict == "inconclusive"
    assert wide.verdict == "equivalent"
    assert repr(wide.certainty) == "equivalent: the interval lies within 0.05 of no difference"
    assert groups(0.2, 4, margin=0.05).verdict == "different"
    with pytest.raises(ValueError, match=r"margin -0\.05: expected a number between 0 and 1"):
        groups(0.0, 4, margin=-0.05)


def test_groups_that_do_not_vary_tell_nothing() -> None:
    labels = np.arange(40) % 2
    a, b = labels.copy(), labels.copy()
    a[:3], b[:7] = 1 - a[:3], 1 - b[:7]  # accuracies of which the mean of three is another number
    found = compare_groups([a] * 3, [b] * 3, labels, splits=5)
    assert found.verdict == "inconclusive"
    assert "all models of a group have the same accuracy" in repr(found.certainty)
