"""Sums per minibatch: inner products of packed vectors, CKA from them, and jackknife intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cka_plugin.core.centring import u_center
from cka_plugin.core.kernels import gram
from cka_plugin.core.packing import pack
from cka_plugin.core.sums import Sums, inner_products, self_products
from tests.support import reference
from tests.support.reference import correlated


def test_biased_and_unbiased_come_from_the_same_vectors() -> None:
    x, y = correlated(5, n=30)
    (v, d), (w, e) = (_vector(z) for z in (x, y))
    for estimator, hsic in (("unbiased", reference.hsic_1), ("biased", reference.hsic_0)):
        xy = inner_products(v, d, w, e, estimator)[0, 0]
        norm = np.sqrt(self_products(v, d, estimator)[0] * self_products(w, e, estimator)[0])
        assert xy / norm == pytest.approx(reference.minibatch_cka([x], [y], hsic=hsic), abs=1e-12)


def _vector(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, diagonal = u_center(gram(torch.from_numpy(x))[0])
    return pack(a)[None].numpy(), diagonal[None].numpy()


def made_sums(seed: int, minibatches: int, first_pass: int | None = None) -> Sums:
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(minibatches, 3, 50))
    v = u[:, :2] + rng.normal(size=(minibatches, 2, 50))
    marks = np.arange(minibatches) < (minibatches if first_pass is None else first_pass)
    return Sums(np.einsum("bik,bjk->bij", u, v), np.square(u).sum(-1), np.square(v).sum(-1), marks)


def test_the_jackknife_leaves_one_minibatch_out_at_a_time() -> None:
    sums = made_sums(0, 10)
    left_out = []
    for b in range(10):
        rest = np.arange(10) != b
        left_out.append(Sums(sums.xy[rest], sums.xx[rest], sums.yy[rest], np.ones(9, bool)).cka())
    spread = np.square(np.array(left_out) - np.mean(left_out, 0)).sum(0)
    assert np.allclose(sums.standard_error(), np.sqrt(9 / 10 * spread), atol=1e-14)
    low, high = sums.interval(0.95)
    assert np.allclose((high - low) / 2, 2.2621571628 * sums.standard_error(), atol=1e-9)  # t with 9 degrees of freedom
    assert np.allclose((high + low) / 2, sums.cka())


def test_intervals_need_eight_minibatches() -> None:
    assert np.isnan(made_sums(0, 7).interval()[0]).all()
    assert np.isfinite(made_sums(0, 8).interval()[0]).all()


def test_intervals_use_the_first_pass_only_and_estimates_all() -> None:
    sums = made_sums(1, 30, first_pass=10)
    first = Sums(sums.xy[:10], sums.xx[:10], sums.yy[:10], np.ones(10, bool))
    assert np.allclose(sums.standard_error(), first.standard_error())
    assert not np.allclose(sums.cka(), first.cka(), atol=1e-6)


def test_jackknife_intervals_cover_a_known_cka() -> None:
    """Twelve minibatches of 32: the interval should cover the limit of many minibatches in about 95% of 200 runs."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 4))

    def run(minibatches: int) -> Sums:
        xy, xx, yy = [], [], []
        for _ in range(minibatches):
            x = rng.normal(size=(32, 6))
            y = x @ mix + 2 * rng.normal(size=(32, 4))
            grams = [torch.from_numpy(z - z.mean(0)) for z in (x, y)]
            a, b = (u_center(g @ g.T)[0].numpy() for g in grams)
            xy.append([[(a * b).sum()]])
            xx.append([(a * a).sum()])
            yy.append([(b * b).sum()])
        return Sums(np.array(xy), np.array(xx), np.array(yy), np.ones(minibatches, bool))

    truth = run(4000).cka()[0, 0]
    hits = 0
    for _ in range(200):
        low, high = run(12).interval()
        hits += bool(low[0, 0] <= truth <= high[0, 0])
    assert 0.90 <= hits / 200 <= 0.99


def test_products_of_long_vectors_are_added_up_in_float64() -> None:
    """A minibatch of n = 400 has 79,800 pairs: one float32 sum of them is off by 2e-6."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(1, 1, size=(3, 79_800)).astype(np.float32) for _ in range(2))
    nothing = np.zeros((3, 400), dtype=np.float32)
    found = inner_products(a, nothing, b, nothing)
    expected = 2 * a.astype(np.float64) @ b.astype(np.float64).T
    assert np.abs(found / expected - 1).max() < 1e-7
