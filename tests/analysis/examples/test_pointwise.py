"""Pointwise alignment against its equation, written out, and its level by chance."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.examples.pointwise import chance_alignment, mean_over_layers, pointwise_alignment
from cka_plugin.analysis.grams import pack_layers

BATCHES = [np.arange(0, 20), np.arange(20, 44)]


def centred(x: np.ndarray) -> np.ndarray:
    """The U-centred Gram matrix, from METHODS."""
    k = x @ x.T
    np.fill_diagonal(k, 0)
    n, r = len(k), k.sum(1)
    a = k - r[:, None] / (n - 2) - r[None] / (n - 2) + r.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(a, 0)
    return a


def test_it_is_the_cosine_of_the_rows_of_the_u_centred_matrices() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(44, 7)), rng.normal(size=(44, 5))
    found = pointwise_alignment(pack_layers([x], BATCHES), pack_layers([y], BATCHES), [(0, 0)])[:, 0]
    for chosen in BATCHES:
        a, b = centred(x[chosen]), centred(y[chosen])
        expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert found[chosen] == pytest.approx(expected, abs=1e-12)


def test_rotation_and_scale_change_nothing() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(44, 6))
    turned = 1e3 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    found = pointwise_alignment(pack_layers([x], BATCHES), pack_layers([turned], BATCHES), [(0, 0)])
    assert found.min() > 1 - 1e-9


def test_examples_seen_in_two_passes_get_the_mean() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(24, 6)), rng.normal(size=(24, 6))
    orders = [np.arange(24), rng.permutation(24)]
    both = pointwise_alignment(pack_layers([x], orders, [0, 1]), pack_layers([y], orders, [0, 1]), [(0, 0)])
    single = [pointwise_alignment(pack_layers([x], [o]), pack_layers([y], [o]), [(0, 0)]) for o in orders]
    assert both == pytest.approx((single[0] + single[1]) / 2)


@pytest.mark.parametrize("n", [16, 64])
def test_by_chance_one_isotropic_layer_scatters_by_one_over_the_root_of_n(n: int) -> None:
    rng = np.random.default_rng(3)
    chosen = [np.arange(n)]
    a, b = (pack_layers([rng.normal(size=(n, 400))], chosen) for _ in range(2))
    null = chance_alignment(a, b, [(0, 0)], draws=40)
    assert abs(null.mean()) < 0.05
    assert null.std() == pytest.approx(1 / np.sqrt(n), rel=0.15)


def test_a_dead_layer_is_nan_and_left_out_of_the_mean() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 5))
    layers = pack_layers([x, np.zeros((20, 5))], BATCHES[:1])
    found = pointwise_alignment(layers, layers, [(0, 0), (1, 1)])
    assert np.isnan(found[:, 1]).all()
    assert mean_over_layers(found) == pytest.approx(found[:, 0])
