"""The level that CKA reaches by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cka_plugin.analysis.grams import cka_sums, pack_layers
from cka_plugin.analysis.levels.chance import chance_level
from cka_plugin.analysis.measures import similarity
from tests.support.planted import drifting, fresh, represent, rotation
from tests.support.reference import minibatch_cka


def noisy(layers: list[np.ndarray], rng: np.random.Generator, noise: float) -> list[np.ndarray]:
    """Another model's layers: the same content, rotated, with noise."""
    return [x @ rotation(rng, x.shape[1]) + noise * fresh(rng, *x.shape) for x in layers]


def test_independent_models_are_at_the_level_of_chance_and_like_ones_are_not() -> None:
    rng = np.random.default_rng(13)
    layers = drifting(rng, 3, 256, 20, keep=0.8)
    a, b = represent([*layers, fresh(rng, 256, 20)], 32), represent(noisy(layers, rng, 1.0), 32)
    found = chance_level(a, b, draws=99)
    matrix = cka_sums(a, b).cka()
    assert found.p.shape == found.level.shape == (4, 3)
    np.testing.assert_allclose(np.diag(found.p[:3]), 0.01)
    assert (np.diag(matrix[:3]) > np.diag(found.level[:3])).all()
    assert found.p[3].min() > 0.02
    np.testing.assert_allclose(found.best_p[:3], 0.01)
    assert found.best_p[3] > 0.02
    assert found.largest_p == pytest.approx(0.01)
    assert (found.best_level >= found.level.max(axis=1)).all()
    again = chance_level(a, b, draws=99)
    np.testing.assert_array_equal(found.p, again.p)


def test_p_is_uniform_where_nothing_is_shared() -> None:
    rng = np.random.default_rng(14)
    cells, best = [], []
    for seed in range(60):
        a, b = (represent([fresh(rng, 48, 8) for _ in range(2)], 16) for _ in range(2))
        found = chance_level(a, b, draws=39, seed=seed)
        cells.append(found.p[0, 0])
        best.append(found.largest_p)
    for p in (cells, best):
        assert min(p) >= 1 / 40
        assert stats.kstest(p, "uniform").pvalue > 0.001


def test_the_null_of_chance_is_cka_of_permuted_examples() -> None:
    """With all 24 orders of 4 examples near at hand, the null's quantile is that of the CKA computed anew."""
    rng = np.random.default_rng(15)
    x, y = fresh(rng, 5, 6), fresh(rng, 5, 6)
    a, b = (pack_layers([z], [np.arange(5)]) for z in (x, y))
    found = chance_level(a, b, draws=2000)
    orders = [rng.permutation(5) for _ in range(2000)]
    null = [minibatch_cka([x], [y[order]]) for order in orders]
    assert found.level[0, 0] == pytest.approx(np.quantile(null, 0.95), abs=0.08)


def test_dead_layers_have_no_chance_level_and_do_not_spoil_the_others() -> None:
    rng = np.random.default_rng(16)
    layers = drifting(rng, 3, 128, 20, keep=0.8)
    a, b = represent(layers, 32), represent(noisy(layers, rng, 0.2), 32)
    for vectors in b.vectors:
        vectors[1] = np.nan
    found = chance_level(a, b, draws=19)
    assert np.isnan(found.p[:, 1]).all()
    np.testing.assert_allclose(found.best_p, 0.05)
    assert found.largest_p == pytest.approx(0.05)
    with pytest.raises(ValueError, match="draws 0"):
        chance_level(a, b, draws=0)


def test_chance_of_nearest_neighbours_is_k_of_n_less_1() -> None:
    rng = np.random.default_rng(3)
    a, b = represent([fresh(rng, 256, 8)]), represent([fresh(rng, 256, 8)])
    level = chance_level(a, b, draws=99, measure="mutual_knn", k=5).level[0, 0]
    assert 5 / 63 < level < 5 / 63 + 0.02


@pytest.mark.parametrize("measure", ["mutual_knn", "rsa", "bures"])
def test_the_null_of_a_measure_is_that_of_permuted_examples(measure: str) -> None:
    rng = np.random.default_rng(4)
    x, y = fresh(rng, 32, 6), fresh(rng, 32, 9)
    a, b = represent([x], batch_size=32), represent([y], batch_size=32)
    order = np.random.default_rng(0).permutation(32)
    found = chance_level(a, b, draws=1, seed=0, measure=measure)
    assert found.level[0, 0] == pytest.approx(similarity(x, y[order], measure), abs=1e-4)
    assert found.similarity[0, 0] == pytest.approx(similarity(x, y, measure), abs=1e-4)
    assert measure in repr(found)
