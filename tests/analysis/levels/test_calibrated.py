"""CKA above chance: the definition, the price of searching over layers, and what unrelated layers get."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.grams import PackedGrams, cka_sums, pack_layers
from cka_plugin.analysis.levels.calibrated import Calibrated, calibrated
from cka_plugin.analysis.levels.chance import chance_level

BATCHES = [np.arange(i, i + 16) for i in range(0, 64, 16)]


def made(seed: int, layers: int, like: np.ndarray | None = None) -> PackedGrams:
    rng = np.random.default_rng(seed)
    own = [rng.normal(size=(64, 6)) for _ in range(layers)]
    if like is not None:
        own[0] = like @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 0.3 * rng.normal(size=(64, 6))
    return pack_layers(own, BATCHES)


def run(a: PackedGrams, b: PackedGrams, draws: int = 99) -> Calibrated:
    layers = ([f"a{i}" for i in range(len(a.vectors[0]))], [f"b{i}" for i in range(len(b.vectors[0]))])
    return calibrated(chance_level(a, b, draws), ("one", "two"), layers)


def test_it_is_the_definition_cell_by_cell_and_for_the_best_match() -> None:
    a, b = made(0, 3), made(1, 4)
    found, chance, s = run(a, b), chance_level(a, b, 99), cka_sums(a, b).cka()
    assert found.matrix == pytest.approx((s - chance.level) / (1 - chance.level))
    for i, row in enumerate(found.matches):
        assert row.cka == pytest.approx(s[i].max())
        assert row.match == f"b{s[i].argmax()}"
        assert row.chance == pytest.approx(chance.best_level[i])
        assert row.calibrated == pytest.approx((row.cka - row.chance) / (1 - row.chance))


def test_what_is_alike_keeps_its_score_and_the_rest_lose_theirs() -> None:
    x = np.random.default_rng(5).normal(size=(64, 6))
    a, b = pack_layers([x, np.random.default_rng(6).normal(size=(64, 6))], BATCHES), made(7, 8, like=x)
    alike, unlike = run(a, b).matches
    assert (alike.match, alike.p) == ("b0", 0.01)
    assert alike.calibrated > 0.7
    assert unlike.calibrated < 0.1
    assert unlike.p > 0.01


def test_the_search_over_more_layers_costs_more() -> None:
    a = made(0, 1)
    few, many = run(a, made(1, 2)), run(a, made(1, 40))
    assert many.matches[0].chance > few.matches[0].chance


def test_best_matches_of_unrelated_layers_are_significant_about_as_often_as_they_may_be() -> None:
    rejected = [run(made(2 * seed, 1), made(2 * seed + 1, 12), draws=39).matches[0].p <= 0.05 for seed in range(60)]
    assert np.mean(rejected) <= 0.13


def test_a_dead_layer_has_no_match() -> None:
    a = pack_layers([np.zeros((64, 4))], BATCHES)
    row = run(a, made(1, 2)).matches[0]
    assert row.match is None
    assert np.isnan(row.calibrated)
    assert "-" in repr(run(a, made(1, 2)))


def test_too_few_draws_for_the_level_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 19"):
        run(made(0, 1), made(1, 1), draws=10)


@pytest.mark.parametrize("measure", ["mutual_knn", "rsa", "bures"])
def test_other_measures_are_calibrated_by_their_own_level(measure: str) -> None:
    options = {"k": 4} if measure == "mutual_knn" else {}
    a, b = made(0, 2), made(1, 2)
    unlike = calibrated(chance_level(a, b, 39, measure=measure, **options), ("x", "y"), (["p", "q"], ["p", "q"]))
    assert unlike.p.min() > 1 / 40
    assert unlike.matrix.max() < 0.1
    same = calibrated(chance_level(a, a, 39, measure=measure, **options), ("x", "x"), (["p", "q"], ["p", "q"]))
    assert np.diag(same.p) == pytest.approx(1 / 40)
    assert np.diag(same.matrix) == pytest.approx(1.0, abs=1e-6)
    assert measure in repr(same)
