"""CKA without the components that a run of layers shares."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.components.removal import cka_without_first_component
from cka_plugin.analysis.components.shared import cka_without_shared_components
from cka_plugin.analysis.grams import cka_sums, pack_layers
from tests.support.planted import add_component, fresh

POSITIONS = [np.arange(64), np.arange(64, 128)]


def test_the_shared_directions_and_nothing_else_are_projected_out() -> None:
    """Against a float64 reference: the mean Gram matrix of the run, its first two eigenvectors, least squares."""
    rng = np.random.default_rng(0)
    layers = [fresh(rng, 24, 6) for _ in range(3)]
    made = pack_layers(layers, [np.arange(24)])
    grams = [(x - x.mean(0)) @ (x - x.mean(0)).T for x in layers]
    mean = sum(k / np.trace(k) for k in grams[:2])
    u = np.linalg.eigh(mean)[1][:, -2:]
    off = ~np.eye(24, dtype=bool)
    spanned = []
    for w in (np.ones(24), *u.T):
        for i in range(24):
            unit = np.eye(24)[i]
            spanned.append((np.outer(w, unit) + np.outer(unit, w))[off])
    basis = np.array(spanned).T
    rests = [k[off] - basis @ np.linalg.lstsq(basis, k[off], rcond=None)[0] for k in grams]
    expected = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in rests] for a in rests]
    np.testing.assert_allclose(cka_without_shared_components(made, [0, 1], 2).cka(), expected, atol=1e-6)


def test_what_two_layers_share_is_taken_from_a_third_that_has_it_too() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=128)
    made = pack_layers([add_component(rng, fresh(rng, 128, 40), scores, 0.7) for _ in range(3)], POSITIONS)
    assert cka_sums(made).cka()[0, 2] > 0.8
    assert abs(cka_without_shared_components(made, [0, 1]).cka()[0, 2]) < 0.1


def test_a_layer_keeps_a_first_component_that_the_run_has_not() -> None:
    """Two layers outside, alike by another component, stay alike; each its own removed, they do not."""
    rng = np.random.default_rng(2)
    run, other = rng.normal(size=(2, 128))
    layers = [add_component(rng, fresh(rng, 128, 40), scores, 0.7) for scores in (run, run, other, other)]
    made = pack_layers(layers, POSITIONS)
    assert cka_without_shared_components(made, [0, 1]).cka()[2, 3] > 0.8
    assert abs(cka_without_first_component(made).cka()[2, 3]) < 0.1


def test_layers_can_be_chosen_and_dead_ones_are_nan() -> None:
    rng = np.random.default_rng(3)
    made = pack_layers([fresh(rng, 128, 10) for _ in range(4)], POSITIONS)
    whole = cka_without_shared_components(made, [0, 1, 2]).cka()
    np.testing.assert_allclose(
        cka_without_shared_components(made, [0, 1, 2], layers=[3, 1]).cka(), whole[np.ix_([3, 1], [3, 1])], atol=1e-12
    )
    for vectors in made.vectors:
        vectors[2] = np.nan
    again = cka_without_shared_components(made, [0, 1, 2]).cka()
    assert np.isnan(again[2]).all()
    assert np.isfinite(again[:2, :2]).all()


def test_wrong_input_is_refused() -> None:
    made = pack_layers([np.zeros((64, 3)), np.zeros((64, 3))], [np.arange(64)])
    with pytest.raises(ValueError, match="count 0"):
        cka_without_shared_components(made, [0], 0)
    with pytest.raises(ValueError, match=r"no layer of the run \[0, 1\] varies"):
        cka_without_shared_components(made, [0, 1])
