"""First principal components, their removal, and CKA on a part of the examples, against float64 references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.analysis.components.dominance import (
    cka_without_dominant_examples,
    dominance,
    dominant_set,
    how_many,
    ranking,
    top_share,
)
from cka_plugin.analysis.components.principal import components, leading_eigenpairs, squared_cosines
from cka_plugin.analysis.components.removal import cka_without_first_component, project_out, without_first_component
from cka_plugin.analysis.grams import PackedGrams, cka_sums, pack_layers
from cka_plugin.analysis.subsets import cka_within_classes, cka_without_examples
from cka_plugin.core import unpack
from tests.support.planted import add_component, fresh, represent, rotation
from tests.support.reference import minibatch_cka


def minibatches(examples: int, size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + size, examples)) for start in range(0, examples, size)]


def svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return u, s


# --- shares, components, cosines


@pytest.mark.parametrize("n", [5, 16, 64, 128])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_components_of_each_minibatch_equal_those_of_a_float64_svd(n: int, decay: float) -> None:
    rng = np.random.default_rng(n)
    x = [1e3 * scale + scale * fresh(rng, 2 * n, 200, decay) for scale in (1.0, 1e-6, 1e6)]
    made = represent(x, batch_size=n)
    found = components(made)
    for index, chosen in enumerate(made.positions):
        for layer, activations in enumerate(x):
            u, s = svd(activations.astype(np.float32)[chosen].astype(np.float64))
            cosine = abs(found.vectors[index][layer] @ u[:, 0])
            assert found.eigenvalues[index, layer] == pytest.approx(s[0] ** 2, rel=1e-5)
            if s[1] < 0.99 * s[0]:  # else rounding may mix the two
                assert cosine == pytest.approx(1, abs=1e-5)
                np.testing.assert_allclose(
                    np.abs(found.projections(index)[layer]), np.abs(s[0] * u[:, 0]), atol=1e-5 * s[0]
                )


def test_share_and_participation_ratio_are_ratios_of_sums_over_unequal_minibatches() -> None:
    x = fresh(np.random.default_rng(0), 50, 30, 0.5)
    positions = [np.arange(12), np.arange(12, 50)]
    found = components(pack_layers([x], positions))
    s = [svd(x[chosen])[1] ** 2 for chosen in positions]
    assert found.share[0] == pytest.approx(sum(v[0] for v in s) / sum(v.sum() for v in s), rel=1e-10)
    expected = sum(v.sum() ** 2 for v in s) / sum((v**2).sum() for v in s)
    assert found.participation_ratio[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "share", "ratio"), [(16, 0.085, 15), (64, 0.030, 59)])
def test_shares_read_higher_and_participation_ratios_lower_in_small_minibatches(
    n: int, share: float, ratio: int
) -> None:
    """The figures of the methods: a true share of 0.011 and a true participation ratio of 947."""
    scale = np.r_[np.sqrt(0.011), np.full(1046, np.sqrt(0.989 / 1046))]
    x = np.random.default_rng(0).normal(size=(1280, 1047)) * scale
    found = components(pack_layers([x], minibatches(1280, n)))
    assert found.share[0] == pytest.approx(share, abs=0.006)
    assert found.participation_ratio[0] == pytest.approx(ratio, abs=1)


def test_squared_cosines_are_weighted_by_the_root_of_both_eigenvalues() -> None:
    rng = np.random.default_rng(1)
    x, y = fresh(rng, 48, 20, 1.0), fresh(rng, 48, 9, 1.0)
    positions = [np.arange(10), np.arange(10, 48)]
    found = squared_cosines(components(pack_layers([x], positions)), components(pack_layers([y], positions)))
    values, weights = [], []
    for chosen in positions:
        (u, s), (v, t) = svd(x[chosen]), svd(y[chosen])
        values.append((u[:, 0] @ v[:, 0]) ** 2)
        weights.append(s[0] * t[0])
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(np.average(values, weights=weights), rel=1e-9)


def test_squared_cosine_is_1_for_a_rotated_layer_and_about_1_over_n_minus_1_for_unrelated_ones() -> None:
    rng = np.random.default_rng(2)
    x = [fresh(rng, 1024, 30, 1.0) for _ in range(6)]
    made = pack_layers([x[0] @ rotation(rng, 30), *x], minibatches(1024, 16))
    cosine = squared_cosines(components(made))
    assert cosine[0, 1] == pytest.approx(1, abs=1e-9)
    assert np.mean(cosine[1:, 1:][np.triu_indices(6, 1)]) == pytest.approx(1 / 15, abs=0.02)
    np.testing.assert_allclose(np.diag(cosine), 1)


@pytest.mark.parametrize("n", [6, 100, 150])
@pytest.mark.parametrize("count", [1, 3])
def test_leading_eigenpairs_agree_with_the_full_decomposition(n: int, count: int) -> None:
    torch.manual_seed(n)
    x = torch.randn(5, n, 40, dtype=torch.float64) * torch.arange(1, 41) ** -0.5
    x[0] = torch.randn(n, 40, dtype=torch.float64)  # neighbouring eigenvalues close together
    x[1, :, 2:] = 0  # rank 2
    x[2] = 0
    k = x @ x.mT
    values, vectors = leading_eigenpairs(k, count)
    expected = torch.linalg.eigvalsh(k)[:, -count:].flip(-1)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(k @ vectors, vectors * values.unsqueeze(-2), rtol=0, atol=1e-6)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(count, dtype=torch.float64).expand(5, -1, -1))


def test_a_dead_layer_is_nan_and_spoils_no_other() -> None:
    rng = np.random.default_rng(3)
    layers = [fresh(rng, 24, 8) for _ in range(4)]
    made = represent(layers, batch_size=12)
    made.vectors[1][1] = np.nan  # not finite in the second minibatch
    for part in (made.vectors, made.diagonals):
        for minibatch in part:
            minibatch[2] = 0  # dead
    found = components(made)
    alive = [0, 3]
    whole = components(represent([layers[0], layers[3]], batch_size=12))
    np.testing.assert_array_equal(found.share[alive], whole.share)
    assert np.isnan(found.share[[1, 2]]).all()
    assert np.isnan(found.vectors[0][[1, 2]]).all()
    cosine, removed = squared_cosines(found), cka_without_first_component(made, known=found).cka()
    for matrix in (cosine, removed, cka_without_first_component(made).cka()):
        assert np.isnan(matrix[[1, 2]]).all()
        assert np.isnan(matrix[:, [1, 2]]).all()
        assert np.isfinite(matrix[np.ix_(alive, alive)]).all()


# --- removal of the first component


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


# --- dominant examples, and CKA on a part of the examples


def test_cka_without_examples_equals_cka_of_the_other_examples() -> None:
    rng = np.random.default_rng(11)
    x, y = fresh(rng, 60, 30), fresh(rng, 60, 12)
    y[:, :6] += x[:, :6]
    positions = [np.arange(20), np.arange(20, 40), np.arange(40, 60)]
    left_out = [0, 1, 5, 25, *range(40, 57)]  # the last minibatch keeps 3, which is too few
    rest = [np.setdiff1d(chosen, left_out) for chosen in positions[:2]]
    expected = minibatch_cka([x[chosen] for chosen in rest], [y[chosen] for chosen in rest])
    together = cka_without_examples(pack_layers([x, y], positions), left_out).cka()
    apart = cka_without_examples(pack_layers([x], positions), left_out, pack_layers([y], positions)).cka()
    assert together[0, 1] == pytest.approx(expected, abs=1e-10)
    assert apart[0, 0] == pytest.approx(expected, abs=1e-10)


def test_cka_within_classes_equals_the_sum_over_classes() -> None:
    rng = np.random.default_rng(12)
    labels = rng.permutation(np.repeat(np.arange(4), [20, 20, 17, 3]))  # the last class is too small anywhere
    centres = 5 * rng.normal(size=(4, 10))
    layers = [centres[labels] + rng.normal(size=(60, 10)) for _ in range(2)]
    positions = [np.arange(30), np.arange(30, 60)]
    made = pack_layers(layers, positions)
    groups = [chosen[labels[chosen] == c] for chosen in positions for c in range(4)]
    groups = [group for group in groups if len(group) >= 4]
    expected = minibatch_cka([layers[0][group] for group in groups], [layers[1][group] for group in groups])
    found = cka_within_classes(made, labels).cka()[0, 1]
    assert found == pytest.approx(expected, abs=1e-10)
    assert cka_sums(made).cka()[0, 1] > 0.8  # the classes make the layers alike
    assert abs(found) < 0.3  # and nothing else does


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


# --- what was given wrong


def test_unlike_minibatches_are_refused() -> None:
    x = np.random.default_rng(17).normal(size=(24, 5))
    made, other = pack_layers([x], minibatches(24, 8)), pack_layers([x], minibatches(24, 12))
    with pytest.raises(ValueError, match="same examples in the same minibatches"):
        cka_sums(made, other)
    with pytest.raises(ValueError, match="same minibatches"):
        squared_cosines(components(made), components(other))
    with pytest.raises(ValueError, match="no minibatches"):
        components(PackedGrams([], [], [], []))
    with pytest.raises(ValueError, match=r"vectors \(1, 28\), diagonals \(1, 7\)"):
        components(PackedGrams(made.vectors, [d[:, :7] for d in made.diagonals], made.positions, made.passes))


def test_what_cannot_be_left_out_or_removed_is_refused() -> None:
    made = pack_layers([np.random.default_rng(18).normal(size=(16, 5))], minibatches(16, 8))
    with pytest.raises(ValueError, match="no minibatch keeps the 4"):
        cka_without_examples(made, range(3, 16))
    with pytest.raises(ValueError, match="labels of shape"):
        cka_within_classes(made, [0] * 10)
    with pytest.raises(ValueError, match="4 examples of one class"):
        cka_within_classes(made, range(16))
    with pytest.raises(ValueError, match="fraction"):
        how_many(1.0, 100)
    with pytest.raises(ValueError, match="at least one component"):
        without_first_component(made.vectors[0], made.diagonals[0], 0)
    assert unpack(torch.from_numpy(made.vectors[0])).shape == (1, 8, 8)
