"""CKA of arrays and of packed vectors, against references with traces and in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cka_plugin as cka
from cka_plugin.core.kernels import examples_of, gram, pack, pairs_of, recover_centered, u_center, unpack
from cka_plugin.core.similarity import Sums, inner_products, self_products
from tests.support import reference

seeds = st.integers(0, 2**31)


def correlated(seed: int, n: int = 40, d: int = 12, e: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x[:, :e] + rng.normal(size=(n, e))


def test_golden_values_of_the_legacy_generator() -> None:
    np.random.seed(1337)  # noqa: NPY002
    x = np.random.randn(100, 10)  # noqa: NPY002
    y = np.random.randn(100, 10) + x  # noqa: NPY002
    assert cka.cka(x, y, estimator="biased") == pytest.approx(0.5576132566, abs=1e-10)
    assert cka.cka(x, y) == pytest.approx(0.5134564895, abs=1e-10)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_arrays_agree_with_the_equations(kernel: str, estimator: str) -> None:
    x, y = correlated(0)
    hsic = reference.hsic_1 if estimator == "unbiased" else reference.hsic_0
    expected = reference.minibatch_cka([x], [y], getattr(reference, kernel), hsic)
    assert cka.cka(x, y, kernel=kernel, estimator=estimator) == pytest.approx(expected, abs=1e-12)


def test_rbf_takes_its_median_over_all_squared_distances_with_the_diagonal() -> None:
    x, y = correlated(1, n=6)
    expected = reference.minibatch_cka([x], [y], lambda z: reference.rbf(z, 0.3))
    assert cka.cka(x, y, kernel="rbf", bandwidth=0.3) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_invariant_to_rotation_scale_shift_and_permutation_of_neurons(seed: int, scale: float, shift: float) -> None:
    x, y = correlated(seed)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(x.shape[1], x.shape[1])))[0]
    expected = cka.cka(x, y)
    assert cka.cka((x @ rotation + shift) * scale, y[:, rng.permutation(y.shape[1])]) == pytest.approx(
        expected, abs=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from(["linear", "rbf"]), st.sampled_from(["unbiased", "biased"]))
def test_symmetric_and_one_with_itself(seed: int, kernel: str, estimator: str) -> None:
    x, y = correlated(seed)
    assert cka.cka(x, y, kernel, estimator) == pytest.approx(cka.cka(y, x, kernel, estimator), abs=1e-12)
    assert cka.cka(x, x, kernel, estimator) == pytest.approx(1.0, abs=1e-12)


def test_not_invariant_to_general_invertible_maps() -> None:
    x, y = correlated(3)
    assert abs(cka.cka(x * np.geomspace(1, 100, x.shape[1]), y) - cka.cka(x, y)) > 0.05


def test_equals_the_cosine_of_centred_squared_distances() -> None:
    x, y = correlated(4)
    h = np.eye(len(x)) - 1 / len(x)
    distances = [h @ np.square(z[:, None] - z[None]).sum(-1) @ h for z in (x, y)]
    cosine = (distances[0] * distances[1]).sum() / np.linalg.norm(distances[0]) / np.linalg.norm(distances[1])
    assert cka.cka(x, y, estimator="biased") == pytest.approx(cosine, abs=1e-12)


def test_unbiased_is_not_clamped() -> None:
    values = [cka.cka(*np.random.default_rng(seed).normal(size=(2, 12, 3))) for seed in range(40)]
    assert min(values) < 0


def test_biased_is_inflated_where_there_are_more_features_than_examples() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 64, 1024))
    predicted = np.sqrt(1024 * 1024 / ((64 + 1024) * (64 + 1024)))
    assert cka.cka(x, y, estimator="biased") == pytest.approx(predicted, abs=0.02)
    assert abs(cka.cka(x, y)) < 0.05


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (np.full((10, 3), 0.1), "constant"),
        (np.full((10, 3), np.nan), "not finite"),
        (np.eye(10), "without structure"),
    ],
)
def test_undefined_similarity_is_nan_and_says_why(x: np.ndarray, reason: str) -> None:
    with pytest.warns(cka.CKAWarning, match=reason):
        assert np.isnan(cka.cka(x, np.random.default_rng(0).normal(size=(10, 2))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((5, 2)), "y": np.zeros((6, 2))}, "5 examples and y 6"),
        ({"x": np.zeros((3, 2)), "y": np.zeros((3, 2))}, "at least 4"),
        ({"x": np.zeros((5, 2)), "y": np.zeros((5, 2)), "kernel": "cubic"}, "'cubic': expected one of linear, rbf"),
        (
            {"x": np.zeros((5, 2)), "y": np.zeros((5, 2)), "estimator": "best"},
            "'best': expected one of unbiased, biased",
        ),
    ],
)
def test_bad_arguments_say_what_was_given_and_expected(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cka.cka(**arguments)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_centred_gram_matrix_comes_back_from_its_vector_and_diagonal(kernel: str) -> None:
    x = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k, _ = gram(x, kernel)
    h = torch.eye(20, dtype=torch.float64) - 1 / 20
    a, diagonal = u_center(k)
    assert torch.allclose(recover_centered(unpack(pack(a)), diagonal), h @ k @ h, atol=1e-13)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 40))
def test_packing_is_undone_by_unpacking(n: int) -> None:
    a, _ = u_center(gram(torch.randn(n, 5))[0])
    assert pack(a).shape == (pairs_of(n),)
    assert examples_of(pairs_of(n)) == n
    assert torch.allclose(unpack(pack(a)), a, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_the_gram_matrix_keeps_its_digits_at_any_scale(scale: float) -> None:
    x = torch.randn(16, 50, generator=torch.Generator().manual_seed(0))
    k, exponent = gram(x * scale)
    expected = torch.from_numpy(reference.linear((x * scale).numpy() - (x * scale).numpy().mean(0, dtype=np.float64)))
    got = k.double() * 2.0 ** exponent.double()
    assert torch.allclose(got, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))
    assert 0.25 <= float(k.diagonal().mean()) <= 1.0


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
