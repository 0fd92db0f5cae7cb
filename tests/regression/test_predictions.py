"""Predictions against those of the baseline: labels, classes, accuracy, churn, and what cannot be judged."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from cka_plugin.representation import Representation
from tests.support.checked import X, Y
from tests.support.nets import ConvNet


def test_a_permuted_head_is_invisible_to_cka_and_caught_by_the_predictions(net: ConvNet, baseline: Baseline) -> None:
    permuted = copy.deepcopy(net)
    with torch.no_grad():
        permuted.head.weight[:] = permuted.head.weight[[1, 2, 3, 4, 0]]
        permuted.head.bias[:] = permuted.head.bias[[1, 2, 3, 4, 0]]
    result = cka.check(permuted, baseline, X)
    assert all(row.passed for row in result.layers)
    assert result.churn == 1
    assert any("of predictions changed" in sentence for sentence in result.failures)
    assert "classes may have another order" in result.meaning


def test_a_drop_of_accuracy_and_of_classes(net: ConvNet) -> None:
    with torch.no_grad():
        truth = net(X).argmax(1)
    made = make_baseline(net, X, truth, progress=False)
    worse = copy.deepcopy(net)
    common = int(truth.bincount().argmax())
    with torch.no_grad():
        worse.head.bias[common] -= 1.0
    result = cka.check(worse, made, X)
    assert all(row.passed for row in result.layers)
    assert result.errors is not None
    assert result.errors.accuracy_a == 1
    assert any(sentence.startswith("accuracy fell from 100.0% to") for sentence in result.failures)
    assert any(sentence.startswith("classes whose accuracy fell") for sentence in result.failures)
    off = cka.check(worse, made, X, max_accuracy_drop=None, max_class_drop=None, max_churn=None)
    assert off.passed


def test_labels_of_another_coding_are_named(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(net, baseline, X, labels=(Y + 1) % 5)
    assert not result.passed
    assert "the labels of 256 of 256 examples are not those of the baseline" in result.failures[0]


def test_a_head_with_other_classes_is_named(net: ConvNet, baseline: Baseline) -> None:
    wide = copy.deepcopy(net)
    wide.head = nn.Linear(6, 7)
    assert "the head has 7 classes, in the baseline 5" in cka.check(wide, baseline, X).failures


# What cannot be judged


def given(net: ConvNet, **changes: Any) -> Representation:
    return replace(cka.represent(net, X, labels=Y, batch_size=32, progress=False), **changes)


def test_scores_that_are_not_finite_any_more_fail(net: ConvNet, baseline: Baseline) -> None:
    logits = np.array(given(net).logits)
    logits[:3, 1] = np.nan
    result = cka.check(given(net, logits=logits), baseline)
    assert result.failures == [
        "the scores of 3 of 256 examples are not finite (NaN or infinity): predictions cannot be judged"
    ]
    assert cka.check(given(net, logits=logits), baseline, max_accuracy_drop=None, max_class_drop=None).failures
    unasked = {"max_accuracy_drop": None, "max_class_drop": None, "max_churn": None}
    assert cka.check(given(net, logits=logits), baseline, **unasked).passed


def test_predictions_that_are_gone_fail(net: ConvNet, baseline: Baseline) -> None:
    (failure,) = cka.check(given(net, logits=None), baseline).failures
    assert "gives no predictions that could be judged, in the baseline it gives scores of 5 classes" in failure


def test_labels_that_are_gone_are_those_of_the_baseline(net: ConvNet, baseline: Baseline) -> None:
    result = cka.check(given(net, labels=None), baseline)
    assert result.passed
    assert result.errors is not None
    assert result.errors.accuracy_a == result.errors.accuracy_b


def test_scores_of_the_baseline_that_are_not_finite_leave_the_check_inconclusive(net: ConvNet) -> None:
    logits = np.array(given(net).logits)
    logits[0] = np.inf
    reference = given(net, logits=logits)
    result = cka.check(given(net), reference)
    assert result.verdict == "inconclusive"
    assert "in the baseline the scores of 1 of 256 examples are not finite" in result.inconclusive[0]
    assert cka.check(given(net), reference, allow_nan=True).passed
    with pytest.raises(ValueError, match="the scores of 1 of 256 examples are not finite"):
        make_baseline(reference, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logits": None}, "Predictions are not judged: the baseline has none."),
        ({"labels": None}, "Accuracy is not judged: there are no labels."),
        ({"labels": np.arange(256)}, "Accuracy is not judged: labels from 0 to 255 are not classes of a head of 5."),
    ],
)
def test_what_was_never_there_to_be_judged_is_said(net: ConvNet, changes: dict[str, Any], said: str) -> None:
    reference = given(net, **changes)
    assert said in cka.check(reference, reference).notes
