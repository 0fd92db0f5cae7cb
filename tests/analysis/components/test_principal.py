"""Principal components, from Gram matrices alone, against float64 decompositions of the activations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cka_plugin.analysis.components.dominance import (
    how_many,
)
from cka_plugin.analysis.components.principal import components, leading_eigenpairs, squared_cosines
from cka_plugin.analysis.components.removal import cka_without_first_component, without_first_component
from cka_plugin.analysis.grams import PackedGrams, cka_sums, pack_layers
from cka_plugin.analysis.subsets import cka_within_classes, cka_without_examples
from cka_plugin.core import unpack
from tests.support.minibatches import minibatches, svd
from tests.support.planted import fresh, represent, rotation


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


def test_the_share_is_a_ratio_of_sums_over_unequal_minibatches() -> None:
    x = fresh(np.random.default_rng(0), 50, 30, 0.5)
    positions = [np.arange(12), np.arange(12, 50)]
    found = components(pack_layers([x], positions))
    s = [svd(x[chosen])[1] ** 2 for chosen in positions]
    assert found.share[0] == pytest.approx(sum(v[0] for v in s) / sum(v.sum() for v in s), rel=1e-10)


def test_the_participation_ratio_averages_over_examples_that_all_differ() -> None:
    x = fresh(np.random.default_rng(0), 18, 30, 0.5)
    positions = [np.arange(8), np.arange(8, 18)]
    sums = np.sum([_sums_over_examples_that_differ(x[chosen]) for chosen in positions], axis=0)
    assert components(pack_layers([x], positions)).participation_ratio[0] == pytest.approx(sums[0] / sums[1], rel=1e-10)


def _sums_over_examples_that_differ(x: np.ndarray) -> np.ndarray:
    """n(n-3) times the mean over i, j, k, l that differ of D_ij D_kl, and of its like with <x_i - x_k, x_j - x_l>."""
    n = len(x)
    gaps = x[:, None] - x[None]
    half = (gaps**2).sum(-1) / 2
    squares = products = count = 0.0
    for i, j, k, l in itertools.permutations(range(n), 4):
        squares += half[i, j] * half[k, l]
        products += (gaps[i, k] @ gaps[j, l]) ** 2 / 4
        count += 1
    return n * (n - 3) * np.array([squares, products]) / count


@pytest.mark.parametrize(("n", "share"), [(16, 0.085), (64, 0.030)])
def test_shares_read_higher_in_small_minibatches_and_participation_ratios_do_not(n: int, share: float) -> None:
    """The figures of the methods: a true share of 0.011 and a true participation ratio of 947."""
    scale = np.r_[np.sqrt(0.011), np.full(1046, np.sqrt(0.989 / 1046))]
    x = np.random.default_rng(0).normal(size=(1280, 1047)) * scale
    found = components(pack_layers([x], minibatches(1280, n)))
    assert found.share[0] == pytest.approx(share, abs=0.006)
    assert found.participation_ratio[0] == pytest.approx(947, rel=0.03)


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
