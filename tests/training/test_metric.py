"""The metric: minibatch CKA whose parts merge, over processes too, and that takes any minibatch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

import cka_plugin as cka
from cka_plugin.training.metric import CKA
from tests.support.training_runs import minibatch


@pytest.mark.parametrize(("kernel", "estimator"), [("linear", "unbiased"), ("linear", "biased"), ("rbf", "unbiased")])
def test_the_metric_is_minibatch_cka_and_parts_merge(kernel: str, estimator: str) -> None:
    from tests.support.reference import hsic_0, hsic_1, linear, minibatch_cka, rbf

    generator = torch.Generator().manual_seed(0)
    scales = [1.0, 1e-6, 1e6, 3.0]  # of minibatches: none may be reweighted
    xs = [s * torch.randn(20, 5, 2, generator=generator) + 1e3 * s for s in scales]
    ys = [x.flatten(1)[:, :4] + s * torch.randn(20, 4, generator=generator) for x, s in zip(xs, scales, strict=True)]
    whole, first, second = (CKA(kernel=kernel, estimator=estimator) for _ in range(3))
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        whole.update(x, y)
        (first if i < 2 else second).update(x, y)
    expected = minibatch_cka(
        [x.numpy() for x in xs],
        [y.numpy() for y in ys],
        kernel=linear if kernel == "linear" else rbf,
        hsic=hsic_1 if estimator == "unbiased" else hsic_0,
    )
    assert float(whole.compute()) == pytest.approx(expected, abs=1e-6)
    first.merge_state(second)
    assert float(first.compute()) == pytest.approx(float(whole.compute()), abs=1e-12)
    whole.reset()
    whole.update(xs[0], ys[0])
    assert float(whole.compute()) == pytest.approx(cka.cka(xs[0], ys[0], kernel, estimator), abs=1e-9)


def test_the_metric_says_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="5 and 6 examples"):
        CKA().update(torch.zeros(5, 2), torch.zeros(6, 2))
    with pytest.raises(ValueError, match="at least one"):
        CKA().update(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="kernel 'cubic'"):
        CKA(kernel="cubic")


@pytest.mark.parametrize(
    "sizes", [[16, 3], [16, 2, 16, 1], [3, 16, 2], [16, 1, 1], [2, 2, 2, 2, 2], [1, 8, 1, 1, 1, 1]]
)
def test_the_metric_takes_minibatches_of_any_size(sizes: list[int]) -> None:
    x, y = (torch.randn(sum(sizes), width, generator=torch.Generator().manual_seed(width)) for width in (5, 3))
    y[:, 0] += x[:, 0]
    together: list[int] = []  # fewer than 4 go with the next, the last ones with those before
    few = 0
    for size in sizes:
        few += size
        if few >= 4:
            together.append(few)
            few = 0
    together[-1] += few
    expected, metric, values = CKA(), CKA(), []
    for one, other in zip(x.split(together), y.split(together), strict=True):
        expected.update(one, other)
    for one, other in zip(x.split(sizes), y.split(sizes), strict=True):
        values.append(metric(one, other))
    assert float(metric.compute()) == pytest.approx(float(expected.compute()), abs=1e-12)
    assert [bool(torch.isnan(value)) for value in values] == [size < 4 for size in sizes]
    metric.reset()
    metric.update(x[:4], y[:4])
    assert float(metric.compute()) == pytest.approx(cka.cka(x[:4], y[:4]), abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [([16, 2], [16]), ([3], [16, 2]), ([2], [2]), ([16], [1])])
def test_few_examples_are_counted_when_metrics_merge(first: list[int], second: list[int]) -> None:
    n = sum(first) + sum(second)
    x, y = (torch.randn(n, width, generator=torch.Generator().manual_seed(width)) for width in (5, 3))
    parts, start = [CKA(), CKA()], 0
    for part, sizes in zip(parts, (first, second), strict=True):
        for size in sizes:
            part.update(x[start : start + size], y[start : start + size])
            start += size
    parts[0].merge_state(parts[1])
    value = parts[0].compute()
    assert torch.isfinite(value)
    if n < 8:
        assert float(value) == pytest.approx(cka.cka(x, y), abs=1e-9)
    if first == [16, 2]:
        expected = CKA()
        expected.update(x[:18], y[:18])
        expected.update(x[18:], y[18:])
        assert float(value) == pytest.approx(float(expected.compute()), abs=1e-12)


def test_what_the_metric_holds_is_not_changed_from_outside() -> None:
    x, y = minibatch(0)
    one, other = CKA(), CKA()
    one.update(x.clone(), y)
    mine = x.clone()
    other.update(mine, y)
    mine.relu_()
    for metric in (one, other):
        metric.update(x[:2], y[:2])
    assert one.compute() == other.compute()


def test_fewer_than_four_examples_in_all_are_no_similarity() -> None:
    metric = CKA()
    metric.update(torch.randn(3, 2), torch.randn(3, 2))
    with pytest.warns(cka.CKAWarning, match="saw 3 examples in all"):
        assert torch.isnan(metric.compute())


def test_the_metric_of_a_constant_stream_is_nan_and_such_minibatches_count_nothing() -> None:
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    flat = torch.full((16, 3), 0.1)
    alone = CKA()
    alone.update(x, flat)
    assert torch.isnan(alone.compute())
    equal = CKA()  # every pair equally similar: rounding is no structure
    equal.update(x, torch.eye(16))
    assert torch.isnan(equal.compute())
    broken = CKA()
    broken.update(x, torch.full((16, 3), float("nan")))
    assert torch.isnan(broken.compute())


def test_without_torchmetrics_the_metric_is_the_same() -> None:
    code = """
import sys
sys.modules["torchmetrics"] = None
import torch
from cka_plugin.training.metric import CKA
assert CKA.__mro__[1].__module__ == "cka_plugin.training.summed"
whole, parts = CKA(), [CKA(), CKA()]
for i in range(4):
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(i))
    y = x[:, :3] + torch.randn(16, 3, generator=torch.Generator().manual_seed(100 + i))
    value = whole(x, y)
    fresh = CKA()
    fresh.update(x, y)
    assert value == fresh.compute()
    parts[i // 2].update(x, y)
parts[0].merge_state(parts[1])
assert abs(parts[0].compute() - whole.compute()) < 1e-12
parts[0].reset()
assert torch.isnan(parts[0].compute())
assert not whole.state_dict()
print(float(whole.compute()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = CKA()
    for i in range(4):
        expected.update(*minibatch(i))
    assert float(done.stdout) == pytest.approx(float(expected.compute()), abs=1e-12)


def test_the_metric_adds_up_over_processes(ranks: list[dict[str, Any]]) -> None:
    whole = CKA()
    for i in range(4):
        whole.update(*minibatch(i))
    for rank in ranks:
        assert rank["metric"] == pytest.approx(float(whole.compute()), abs=1e-12)
        assert rank["metric without torchmetrics"] == pytest.approx(float(whole.compute()), abs=1e-12)
        own, sum_xy = rank["of this rank alone"]
        assert abs(own - float(whole.compute())) > 1e-3  # after compute, the state is this rank's again
        assert sum_xy < float(whole.xy)
