"""The area under the ROC curve and its interval, against counting, scikit-learn and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cka_plugin.analysis.statistics.auc import auc


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_scikit_learn_ties_and_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, group = rng.integers(0, 6, 80).astype(float), rng.random(80) < 0.3
    assert auc(score, group).value == pytest.approx(roc_auc_score(group, score), abs=1e-12)


def test_delongs_variance_is_that_of_the_pairs_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    score, group = rng.normal(size=40), rng.random(40) < 0.4
    ours, others = score[group], score[~group]
    wins = (ours[:, None] > others[None]) + 0.5 * (ours[:, None] == others[None])
    variance = wins.mean(1).var(ddof=1) / len(ours) + wins.mean(0).var(ddof=1) / len(others)
    found = auc(score, group)
    logit = math.log(found.value / (1 - found.value))
    reach = 1.959963985 * math.sqrt(variance) / (found.value * (1 - found.value))
    assert math.log(found.high / (1 - found.high)) - logit == pytest.approx(reach, rel=1e-8)
    assert logit - math.log(found.low / (1 - found.low)) == pytest.approx(reach, rel=1e-8)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    truth, held, runs = 0.76025, 0, 400  # of two normal distributions one standard deviation apart
    for _ in range(runs):
        group = np.arange(120) < 30
        found = auc(rng.normal(size=120) + group, group)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / runs <= 0.98


def test_one_example_or_a_perfect_score_has_no_interval() -> None:
    assert math.isnan(auc([1.0, 2.0, 3.0], [True, False, False]).low)
    assert auc([1.0, 2.0, 3.0, 4.0], [False, False, True, True]).value == 1.0
    assert math.isnan(auc([1.0, 2.0, 3.0, 4.0], [False, False, True, True]).high)
    assert math.isnan(auc([1.0, 2.0], [False, False]).value)


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        auc([1.0, math.nan], [True, False])
    with pytest.raises(ValueError, match="expected"):
        auc([1.0, 2.0], [True])
