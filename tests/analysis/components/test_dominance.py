"""Dominant examples, and CKA without them."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.components.dominance import (
    cka_without_dominant_examples,
    dominance,
    dominant_set,
    how_many,
    ranking,
    top_share,
    without_dominant_examples,
)
from cka_plugin.analysis.components.principal import components
from cka_plugin.analysis.grams import cka_sums, pack_layers
from tests.support.minibatches import minibatches
from tests.support.planted import fresh, represent


@pytest.mark.parametrize(("size", "expected"), [(10, 0.004), (30, 0.18), (100, 0.92)])
def test_five_outliers_of_a_thousand_make_independent_examples_alike(size: float, expected: float) -> None:
    """[Davari]; and the most dominant examples are these, and without them nothing is alike."""
    rng = np.random.default_rng(13)
    layers = []
    for _ in range(2):
        x = rng.normal(size=(1000, 64))
        x[:5] += size * np.eye(64)[0]
        layers.append(x)
    made = pack_layers(layers, [np.arange(1000)])
    assert cka_sums(made).cka()[0, 1] == pytest.approx(expected, abs=0.03)
    found = dominance(components(made), made.positions)
    if size > 10:
        assert set(ranking(found)[:5]) == set(range(5))
        assert set(dominant_set(found)) == set(range(5))
        assert top_share(found, 0.005) > 0.75
    for left_out in cka_without_dominant_examples(made, ranking(found), fractions=(0.005, 0.05)):
        assert left_out.count == how_many(left_out.fraction, 1000)
        if size > 10:
            assert abs(left_out.matrix[0, 1]) < 0.02


def test_an_example_that_dominates_alone_in_its_minibatch_is_invisible_to_unbiased_cka() -> None:
    """The figures of the methods: a share of 0.77 and a CKA of 0.01; with two such examples 0.99."""
    rng = np.random.default_rng(14)
    for together, expected in ((1, 0.01), (2, 0.99)):
        layers = [rng.normal(size=(640, 256)) for _ in range(2)]
        for x in layers:
            x[: 10 * together, 0] += 200
        positions = [np.r_[np.arange(i * together, (i + 1) * together), 20 + 62 * i + np.arange(62)] for i in range(10)]
        made = pack_layers(layers, positions)
        assert components(made).share.min() > 0.7
        assert cka_sums(made).cka()[0, 1] == pytest.approx(expected, abs=0.03)


def test_dominance_has_unit_mean_square_in_each_layer_and_averages_passes() -> None:
    rng = np.random.default_rng(15)
    x = [fresh(rng, 64, 20, 1.0), 1e4 * fresh(rng, 64, 20, 1.0)]
    found = dominance(components(represent(x, batch_size=16)), represent(x, batch_size=16).positions)
    np.testing.assert_allclose(np.square(found).mean(axis=1), 1)
    twice = represent([y[:64] for y in x], batch_size=64, passes=2)
    once = represent([y[:64] for y in x], batch_size=64)
    np.testing.assert_allclose(
        dominance(components(twice), twice.positions), dominance(components(once), once.positions), rtol=1e-4, atol=1e-5
    )


def test_the_union_of_both_models_dominant_examples_is_left_out() -> None:
    rng = np.random.default_rng(16)
    made = pack_layers([fresh(rng, 100, 20)], minibatches(100, 50))
    order, other = np.arange(100), np.arange(100)[::-1]
    counts = [result.count for result in cka_without_dominant_examples(made, order, made, other)]
    assert counts == [2, 10, 20]


def test_means_of_two_models_are_over_all_their_layers_however_symmetric_the_matrix() -> None:
    rng = np.random.default_rng(17)
    x = rng.normal(size=(96, 20))
    one, other = (pack_layers([y], minibatches(96, 32)) for y in (x, x + 0.3 * rng.normal(size=x.shape)))
    pair = without_dominant_examples([one, other], [None, None], [0.1])
    assert pair.means() == pytest.approx([pair.matrix[0, 0], pair.left_out[0].matrix[0, 0]])
    same = pack_layers([x, x + rng.normal(size=x.shape)], minibatches(96, 32))
    with_itself = without_dominant_examples([same], [None], [0.1])
    assert with_itself.means()[0] == pytest.approx(with_itself.matrix[0, 1])
