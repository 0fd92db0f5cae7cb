"""CKA of two arrays, against references with traces and in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cka_plugin as cka
from tests.support import reference
from tests.support.reference import correlated

seeds = st.integers(0, 2**31)


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
