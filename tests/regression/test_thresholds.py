"""Thresholds: one number or a table, from the special to the general, and never within the noise."""

from __future__ import annotations

import pytest

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline
from tests.support.checked import X, perturbed
from tests.support.nets import ConvNet


def test_a_table_of_thresholds(net: ConvNet, baseline: Baseline) -> None:
    changed = perturbed(net, "blocks.1.conv1")
    table = {"blocks.*": 0.1, "kind:head": 0.2, "default": 0.999}
    result = cka.check(changed, baseline, X, table, max_churn=None, max_accuracy_drop=None, max_class_drop=None)
    assert result.passed
    assert {row.name: row.threshold for row in result.layers if row.kind in ("block", "head")} == {
        "blocks.0": 0.1,
        "blocks.1": 0.1,
        "blocks.2": 0.1,
        "head": 0.2,
    }
    assert not cka.check(changed, baseline, X, {"blocks.1": 0.9999, "default": 0}).passed


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"block.1": 0.9}, "fits no layer: did you mean 'blocks.1'"),
        ({"blocks.1": "high"}, "expected a lowest CKA"),
        (1.5, "expected a lowest CKA"),
        (True, "expected a lowest CKA"),
        (float("nan"), "expected a lowest CKA"),
    ],
)
def test_thresholds_that_mean_nothing_are_errors(net: ConvNet, baseline: Baseline, table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cka.check(net, baseline, X, table)  # type: ignore[arg-type]


def test_a_threshold_within_the_noise_is_an_error_not_a_coin_flip(net: ConvNet, baseline: Baseline) -> None:
    with pytest.raises(ValueError, match="within the noise of the baseline"):
        cka.check(net, baseline, X, min_cka=1.0)
    noisy = Baseline(baseline.representation, noise=dict.fromkeys(baseline.representation.layer_names, 0.01))
    with pytest.raises(ValueError, match=r"may give 0\.960; give at most 0\.96"):
        cka.check(net, noisy, X, min_cka=0.99)
