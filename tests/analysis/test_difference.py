"""Whether one CKA differs from another: a paired jackknife."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.difference import difference
from cka_plugin.analysis.grams import cka_sums, pack_layers
from cka_plugin.core import Sums
from tests.support.planted import drifting, fresh, represent
from tests.support.reference import minibatch_cka


def test_a_paired_difference_equals_the_jackknife_written_out() -> None:
    rng = np.random.default_rng(7)
    layers = drifting(rng, 3, 640, 30, keep=0.8)
    a = represent(layers)
    sums = cka_sums(a)
    found = difference(sums, (0, 1), sums, (0, 2))
    xs = [[layer.astype(np.float32)[chosen] for chosen in a.positions] for layer in layers]

    def gap(left_out: int | None) -> float:
        kept = [[part for i, part in enumerate(x) if i != left_out] for x in xs]
        return minibatch_cka(kept[0], kept[1]) - minibatch_cka(kept[0], kept[2])

    without = np.array([gap(i) for i in range(10)])
    error = math.sqrt(9 / 10 * np.square(without - without.mean()).sum())
    half = stats.t.ppf(0.975, 9) * error
    assert found.value == pytest.approx(gap(None), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((gap(None) - half, gap(None) + half), abs=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(gap(None) / error, 9), rel=1e-3)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(8)
    x = fresh(rng, 1024, 40)
    a, b = represent([x]), represent([x + 0.5 * fresh(rng, 1024, 40), x + 0.55 * fresh(rng, 1024, 40)])
    sums = cka_sums(a, b)
    low, high = sums.interval()
    assert low[0, 0] < high[0, 1]  # the intervals overlap
    found = difference(sums, (0, 0), sums, (0, 1))
    assert found.low > 0
    assert found.p < 0.05


def test_intervals_of_differences_hold_the_truth() -> None:
    """Two entries with the same true CKA: 95% intervals miss 0 about one time in twenty."""
    rng = np.random.default_rng(9)
    missed = 0
    for _ in range(150):
        x = rng.normal(size=(320, 10))
        made = pack_layers(
            [x, x + rng.normal(size=x.shape), x + rng.normal(size=x.shape)], np.arange(320).reshape(10, 32)
        )
        sums = cka_sums(made)
        found = difference(sums, (0, 1), sums, (0, 2))
        missed += not found.low <= 0 <= found.high
    assert 1 <= missed <= 16


def test_entries_of_two_matrices_compare_on_the_same_minibatches_only() -> None:
    layers = drifting(np.random.default_rng(10), 2, 512, 20, keep=0.8)
    sums, fewer = cka_sums(represent(layers)), cka_sums(represent(layers, minibatches=7))
    with pytest.raises(ValueError, match="8 and 7 minibatches"):
        difference(sums, (0, 1), fewer, (0, 1))
    with pytest.raises(ValueError, match="level 95"):
        difference(sums, (0, 1), sums, (0, 1), level=95)
    assert math.isnan(difference(fewer, (0, 1), fewer, (0, 0)).p)
    same = difference(sums, (0, 1), sums, (0, 1))
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_later_passes_sharpen_the_estimate_and_not_the_interval() -> None:
    layers = drifting(np.random.default_rng(11), 3, 512, 20, keep=0.8)
    made = represent(layers, passes=3)
    all_passes = cka_sums(made)
    assert all_passes.first_pass.sum() == 8
    first = Sums(all_passes.xy[:8], all_passes.xx[:8], all_passes.yy[:8], np.ones(8, bool))
    found, alone = (difference(sums, (0, 1), sums, (0, 2)) for sums in (all_passes, first))
    assert found.high - found.low == pytest.approx(alone.high - alone.low)
    assert found.value != alone.value
