"""Each measure of two arrays equals, in float64, what another package makes of the activations themselves."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import pdist
from sklearn.neighbors import NearestNeighbors

import cka_plugin as cka
from cka_plugin.analysis.measures import registry

EXACT = 1e-9
SHAPES = [(12, 3, 5), (40, 60, 8), (64, 200, 300), (100, 7, 7)]


def pair(n: int, p: int, q: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Activations that share something, off the origin and of unlike scales."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    x = shared @ rng.normal(size=(4, p)) + rng.normal(size=(n, p)) + 5
    y = 1e3 * (shared @ rng.normal(size=(4, q)) + rng.normal(size=(n, q)))
    return x, y


def neighbours(x: np.ndarray, k: int) -> np.ndarray:
    return NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 5, 10])
def test_mutual_knn_is_the_overlap_of_scikit_learns_neighbours(shape: tuple[int, int, int], k: int) -> None:
    x, y = pair(*shape)
    both = zip(neighbours(x, k), neighbours(y, k), strict=True)
    expected = np.mean([len(set(a) & set(b)) / k for a, b in both])
    assert cka.similarity(x, y, "mutual_knn", k=k) == pytest.approx(expected, abs=EXACT)
    chance = k / (len(x) - 1)
    above = cka.similarity(x, y, "mutual_knn", k=k, above_chance=True)
    assert above == pytest.approx((expected - chance) / (1 - chance), abs=EXACT)


@pytest.mark.parametrize("shape", SHAPES)
def test_rsa_is_scipys_correlation_of_distances(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert cka.similarity(x, y, "rsa") == pytest.approx(stats.spearmanr(pdist(x), pdist(y)).statistic, abs=EXACT)
    expected = stats.pearsonr(pdist(x), pdist(y)).statistic
    assert cka.similarity(x, y, "rsa", correlation="pearson") == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("shape", SHAPES)
def test_bures_is_the_cosine_of_the_angular_procrustes_distance(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    x_centred, y_centred = x - x.mean(0), y - y.mean(0)
    width = max(x.shape[1], y.shape[1])
    padded = [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in (x_centred, y_centred)]
    _, nuclear = linalg.orthogonal_procrustes(*padded)
    expected = nuclear / (np.linalg.norm(x_centred) * np.linalg.norm(y_centred))
    assert cka.similarity(x, y, "bures") == pytest.approx(expected, abs=EXACT)


def test_bures_is_its_definition_by_roots_of_matrices() -> None:
    x, y = pair(20, 30, 30)
    k, l = ((a - a.mean(0)) @ (a - a.mean(0)).T for a in (x, y))
    root = linalg.sqrtm(k).real
    eigenvalues = np.linalg.eigvalsh(root @ l @ root)
    expected = np.sqrt(np.maximum(eigenvalues, 0)).sum() / math.sqrt(np.trace(k) * np.trace(l))
    assert cka.similarity(x, y, "bures") == pytest.approx(expected, abs=1e-6)  # the reference squares small numbers


def test_distances_that_are_equal_are_tied_whatever_the_rounding() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 3, (50, 4)).astype(float), rng.integers(0, 3, (50, 3)).astype(float)
    expected = stats.spearmanr(pdist(x, "sqeuclidean"), pdist(y, "sqeuclidean")).statistic
    turned = x @ np.linalg.qr(rng.normal(size=(4, 4)))[0] / 7
    assert cka.similarity(turned, y, "rsa") == pytest.approx(expected, abs=EXACT)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(["mutual_knn", "rsa", "bures"]),
    st.floats(-12, 12),
    st.floats(-3, 3),
    st.integers(0, 1000),
)
def test_measures_are_invariant_to_rotation_scale_and_offset(
    measure: str, exponent: float, offset: float, seed: int
) -> None:
    x, y = pair(30, 6, 9, seed)
    rng = np.random.default_rng(seed)
    turned = (x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 10.0**offset) * 10.0**exponent
    assert cka.similarity(turned, y, measure) == pytest.approx(cka.similarity(x, y, measure), abs=1e-9)
    assert cka.similarity(y, x, measure) == pytest.approx(cka.similarity(x, y, measure), abs=1e-9)
    assert cka.similarity(x, turned, measure) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.tensor])
def test_further_axes_and_other_kinds_of_arrays_are_taken(kind) -> None:
    x, y = pair(24, 12, 8)
    given_x = kind(x.reshape(24, 3, 2, 2))
    assert cka.similarity(given_x, y, "rsa") == pytest.approx(cka.similarity(x, y, "rsa"), abs=1e-4)


def test_cka_is_that_of_cka_with_its_options() -> None:
    x, y = pair(30, 6, 9)
    for options in ({}, {"kernel": "rbf", "bandwidth": 0.8}, {"estimator": "biased"}):
        assert cka.similarity(x, y, **options) == cka.cka(x, y, **options)


def test_the_rbf_kernel_measures_distances_in_its_own_space() -> None:
    x, y = pair(30, 6, 9)
    grams = []
    for a in (x, y):
        squares = np.square(a[:, None] - a[None]).sum(-1)
        grams.append(np.exp(-squares / (2 * 0.5**2 * np.median(squares))))
    upper = np.triu_indices(30, 1)
    expected = stats.spearmanr(*(-k[upper] for k in grams)).statistic
    assert cka.similarity(x, y, "rsa", kernel="rbf") == pytest.approx(expected, abs=EXACT)


def test_a_constant_or_broken_side_is_nan_with_its_reason() -> None:
    x = pair(20, 4, 4)[0]
    for broken, why in ((np.ones((20, 3)), "constant"), (np.full((20, 3), np.nan), "not finite")):
        for measure in ("mutual_knn", "rsa", "bures"):
            with pytest.warns(cka.CKAWarning, match=f"{measure} is NaN: y is {why}"):
                assert math.isnan(cka.similarity(x, broken, measure))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "cca"}, "expected one of cka, mutual_knn, rsa, bures"),
        ({"measure": "rsa", "k": 3}, "measure 'rsa' takes the options correlation; given k"),
        ({"measure": "bures", "k": 3}, "measure 'bures' takes no options; given k"),
        ({"measure": "rsa", "correlation": "kendall"}, "expected one of spearman, pearson"),
        ({"measure": "mutual_knn"}, "given 11 examples: 10 nearest neighbours need minibatches of more than 11"),
        ({"measure": "mutual_knn", "k": 0}, "at least one neighbour"),
        ({"measure": "rsa", "kernel": "cosine"}, "kernel 'cosine'"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(options, message) -> None:
    x, y = pair(11, 3, 4)
    with pytest.raises(ValueError, match=message):
        cka.similarity(x, y, **options)


def test_unlike_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="x holds 11 examples and y 12"):
        cka.similarity(np.eye(11), np.eye(12), "rsa")


def test_a_measure_of_ones_own_is_a_function_of_two_centred_gram_matrices(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_MEASURES", dict(registry._MEASURES))
    seen = []

    def overlap(k, l, *, power=1):
        seen.append((k, l))
        return abs(float((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))) ** power

    cka.register_measure("overlap", overlap)
    x, y = pair(20, 4, 4)
    assert cka.similarity(x, y, "overlap", power=2) == pytest.approx(cka.cka(x, y, estimator="biased") ** 2)
    for k in itertools.chain(*seen):
        assert k.shape == (20, 20)
        assert np.abs(k.sum(0)).max() < 1e-9
    for name in ("rsa", "cka", "no name", ""):
        with pytest.raises(ValueError, match="expected an identifier other than cka, mutual_knn, rsa, bures"):
            cka.register_measure(name, overlap)
    with pytest.raises(TypeError, match="expected a function"):
        cka.register_measure("mine", 3)


@pytest.mark.parametrize(
    ("returned", "said"), [(np.ones((3, 3)), r"an array of shape \(3, 3\)"), (None, "None"), ("1", "'1'"), (1j, "1j")]
)
def test_what_a_measure_of_ones_own_returned_is_named_where_it_is_no_number(monkeypatch, returned, said) -> None:
    monkeypatch.setattr(registry, "_MEASURES", dict(registry._MEASURES))
    cka.register_measure("mine", lambda k, l: returned)
    with pytest.raises(
        TypeError, match=f"measure 'mine': expected a function that returns a number; it returned {said}"
    ):
        cka.similarity(*pair(20, 4, 4), "mine")
