"""A check of too few examples is inconclusive, and says how many would settle it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.regression.baseline import make_baseline
from tests.support.checked import X, perturbed
from tests.support.nets import ConvNet


def few(net: ConvNet, n: int, labels: bool = False, **limits: float) -> cka.CheckResult:
    truth = net(X[:n]).argmax(1) if labels else None
    return cka.check(net, make_baseline(net, X[:n], truth, progress=False), X[:n], **limits)


@pytest.mark.parametrize(
    ("n", "labels", "said"),
    [
        (12, False, ["12 examples are too few to say how far a layer moved"]),
        (8, False, ["too few to say how far a layer moved", "too few to judge 5.0% of predictions that change"]),
        (40, True, ["40 examples are too few to judge an accuracy lower by 1.0%"]),
    ],
)
def test_too_few_examples_are_no_pass(net: ConvNet, n: int, labels: bool, said: list[str]) -> None:
    result = few(net, n, labels)
    assert result.verdict == "inconclusive"
    assert not result.passed
    assert result.failures == []
    assert len(result.inconclusive) == len(said)
    for sentence, part in zip(result.inconclusive, said, strict=True):
        assert part in sentence
        assert "give at least" in sentence


def test_what_would_settle_it_does(net: ConvNet) -> None:
    (sentence,) = few(net, 40, labels=True).inconclusive
    assert "give at least 50, or a larger max_accuracy_drop" in sentence
    assert "finds true drops of 19% or more with a power of 80%" in sentence
    assert few(net, 50, labels=True).passed
    assert few(net, 40, labels=True, max_accuracy_drop=0.05).passed
    assert few(net, 64).passed


def test_a_failure_on_few_examples_is_a_failure(net: ConvNet) -> None:
    made = make_baseline(net, X[:12], progress=False)
    result = cka.check(perturbed(net, "stem"), made, X[:12])
    assert result.verdict == "FAILED"
    assert result.inconclusive


def test_a_drop_that_chance_may_have_made_says_how_many_examples_show_it(net: ConvNet) -> None:
    truth = net(X).argmax(1)
    made = make_baseline(net, X, truth, measure_noise=False, progress=False)
    logits = np.array(made.representation.logits)
    logits[:3] *= -1  # three examples of 256
    (sentence,) = cka.check(replace(made.representation, logits=logits), made).failures
    assert sentence.startswith("accuracy fell from 100.0% to 98.8%, by more than 1.0% (exact McNemar p = 0.25; about ")
    assert sentence.endswith("examples show a drop of this size with a power of 80%)")
