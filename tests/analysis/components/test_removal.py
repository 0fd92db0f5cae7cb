"""What is left without first components: the residual of least squares, without a floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.analysis.components.principal import components
from cka_plugin.analysis.components.removal import cka_without_first_component, project_out
from cka_plugin.analysis.grams import cka_sums, pack_layers
from tests.support.minibatches import minibatches
from tests.support.planted import add_component, fresh, represent, rotation


def least_squares_residual(a: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Residual of the entries above the diagonal on {a_i + a_j, u_i b_j + u_j b_i}, by brute force."""
    n = len(a)
    i, j = np.triu_indices(n, 1)
    columns = []
    for w in np.c_[np.ones(n), u].T:
        for e in range(n):
            columns.append(np.where(i == e, w[j], 0) + np.where(j == e, w[i], 0))
    design = np.array(columns).T
    rest = np.zeros((n, n))
    rest[i, j] = a[i, j] - design @ np.linalg.lstsq(design, a[i, j], rcond=1e-11)[0]
    return rest + rest.T


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 24),
    removed=st.integers(1, 3),
    dominant=st.integers(0, 4),
    seed=st.integers(0, 2**31),
)
def test_removal_is_the_residual_of_least_squares_off_the_diagonal(
    n: int, removed: int, dominant: int, seed: int
) -> None:
    """Also where one, two or three examples carry the component, and where nothing is left."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n, min(removed, n - 1)))
    if dominant:
        u[:, 0] *= 0.03
        u[:dominant, 0] = rng.uniform(0.5, 1.5, size=min(dominant, n))
    x = rng.normal(size=(n, 30))
    a = x @ x.T + 10 * u @ u.T
    found = project_out(torch.from_numpy(a), torch.from_numpy(u)).numpy()
    np.testing.assert_allclose(found, least_squares_residual(a, u), atol=1e-7 * np.linalg.norm(a))
    np.testing.assert_allclose(found @ u, 0, atol=1e-7 * np.linalg.norm(a))
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-7 * np.linalg.norm(a))
    np.testing.assert_array_equal(np.diag(found), 0)


@pytest.mark.parametrize(("dimension", "plain"), [(512, 0.11), (4096, 0.51)])
def test_removal_leaves_no_floor_where_u_centring_would(dimension: int, plain: float) -> None:
    """Layers that share nothing but the removed component: the floor p/(p + n²) of the methods, and none here."""
    rng = np.random.default_rng(4)
    n, draws = 64, 12
    scores = rng.normal(size=n * draws)
    layers = [add_component(rng, rng.normal(size=(n * draws, dimension)), scores, 0.9) for _ in range(2)]
    made = pack_layers(layers, minibatches(n * draws, n))
    assert cka_sums(made).cka()[0, 1] > 0.98
    assert cka_without_first_component(made).cka()[0, 1] == pytest.approx(0, abs=0.03)

    sums = np.zeros(3)  # the same with u1 u1ᵀ subtracted and U-centred again
    for chosen in made.positions:
        rests = []
        for x in layers:
            rows = x[chosen] - x[chosen].mean(axis=0)
            values, vectors = np.linalg.eigh(rows @ rows.T)
            k = (vectors[:, :-1] * values[:-1]) @ vectors[:, :-1].T
            np.fill_diagonal(k, 0)
            r, s = k.sum(0), k.sum()
            k -= (r[:, None] + r) / (n - 2) - s / ((n - 1) * (n - 2))
            np.fill_diagonal(k, 0)
            rests.append(k)
        sums += [(rests[0] * rests[1]).sum(), (rests[0] ** 2).sum(), (rests[1] ** 2).sum()]
    assert sums[0] / np.sqrt(sums[1] * sums[2]) == pytest.approx(plain, abs=0.03)


def test_what_layers_share_beside_the_removed_component_is_left_without_bias() -> None:
    """Half of the variance of the rest is shared, so CKA of the rest is (1/2)² of 1."""
    rng = np.random.default_rng(5)
    examples, width = 1024, 200
    shared, scores = rng.normal(size=(examples, width)), rng.normal(size=examples)
    layers = [
        add_component(rng, shared @ rotation(rng, width) + rng.normal(size=(examples, width)), scores, 0.8)
        for _ in range(2)
    ]
    found = cka_without_first_component(pack_layers(layers, minibatches(examples, 64))).cka()[0, 1]
    assert found == pytest.approx(0.25, abs=0.02)


def test_identical_and_rotated_layers_stay_identical_after_removal() -> None:
    rng = np.random.default_rng(6)
    x = add_component(rng, fresh(rng, 128, 40), rng.normal(size=128), 0.9)
    made = represent([x, x, 3 * x @ rotation(rng, 40) + 1], batch_size=32)
    np.testing.assert_allclose(cka_without_first_component(made).cka(), 1, atol=1e-5)


def test_a_layer_that_is_its_first_component_leaves_nan_and_not_rounding() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=128)
    lines = [np.outer(scores, rng.normal(size=40)) for _ in range(2)]
    made = represent([*lines, lines[0] + 0.01 * rng.normal(size=(128, 40))], batch_size=64)
    assert cka_sums(made).cka()[0, 1] == pytest.approx(1, abs=1e-6)
    left = cka_without_first_component(made).cka()
    assert np.isnan(left[:2]).all()
    assert left[2, 2] == pytest.approx(1)


@pytest.mark.parametrize(("share", "tolerance"), [(0.9, 2e-6), (0.996, 2e-5), (0.99997, 2e-3)])
def test_float32_vectors_suffice_for_what_removal_leaves(share: float, tolerance: float) -> None:
    rng = np.random.default_rng(8)
    scores, shared = rng.normal(size=256), rng.normal(size=(256, 60))
    layers = [add_component(rng, shared + rng.normal(size=(256, 60)), scores, share) for _ in range(3)]
    layers = [x.astype(np.float32).astype(np.float64) for x in layers]
    exact = cka_without_first_component(pack_layers(layers, minibatches(256, 64))).cka()
    found = cka_without_first_component(represent(layers, batch_size=64)).cka()
    np.testing.assert_allclose(found, exact, atol=tolerance)


def test_several_components_can_be_removed_and_two_models_compared() -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(2, 256))
    layers = [
        add_component(rng, add_component(rng, rng.normal(size=(256, 80)), scores[0], 0.5), scores[1], 0.5)
        for _ in range(2)
    ]
    a, b = (pack_layers([x], minibatches(256, 64)) for x in layers)
    remaining = [cka_without_first_component(a, b, count).cka()[0, 0] for count in (1, 2)]
    assert remaining[0] > 0.5
    assert abs(remaining[1]) < 0.1
    both = cka_without_first_component(pack_layers(layers, minibatches(256, 64)), count=2).cka()
    assert both[0, 1] == pytest.approx(remaining[1], abs=1e-9)


def test_known_components_give_the_same_as_components_found_anew() -> None:
    rng = np.random.default_rng(10)
    made = represent([fresh(rng, 60, 30) for _ in range(3)], batch_size=20)
    np.testing.assert_allclose(
        cka_without_first_component(made, known=components(made)).cka(),
        cka_without_first_component(made).cka(),
        atol=1e-9,
    )
