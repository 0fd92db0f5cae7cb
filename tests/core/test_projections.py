"""Projected Gram vectors: inner products are right on average, and the draw is the same for ever."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cka_plugin.core import Projection, pairs_of
from cka_plugin.core.projections import _drawn

CPU = torch.device("cpu")
PLACES = [15, 41, 7, 22, 25, 14, 28, 43, 1, 11, 0, 0]
SIGNS = [-1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [64, 100, 1024])
@pytest.mark.parametrize("n", [12, 40, 65])
def test_every_entry_is_in_one_group_with_one_sign(size: int, n: int) -> None:
    pairs = pairs_of(n)
    made = Projection(size).of(torch.eye(pairs), minibatch=3)
    assert made.shape == (pairs, min(size, pairs))
    assert torch.equal(made.abs().sum(1), torch.ones(pairs))
    filled = made.abs().sum(0)
    assert filled.max() <= -(-pairs // size)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), minibatch=st.integers(0, 10**6))
def test_a_projection_is_linear_and_follows_from_seed_and_minibatch(seed: int, minibatch: int) -> None:
    x, y = torch.randn(2, 300, dtype=torch.float64), torch.randn(2, 300, dtype=torch.float64)
    projection = Projection(50, seed)
    both = projection.of(x + 3 * y, minibatch)
    assert torch.allclose(both, projection.of(x, minibatch) + 3 * projection.of(y, minibatch))
    assert torch.equal(both, Projection(50, seed).of(x + 3 * y, minibatch))
    assert not torch.equal(both, projection.of(x + 3 * y, minibatch + 1))


def test_inner_products_are_right_on_average_and_vary_as_is_said() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 780, generator=generator, dtype=torch.float64)
    x[1] += x[0]
    projection = Projection(64)
    found = np.array([float(torch.dot(*projection.of(x, minibatch))) for minibatch in range(4000)])
    exact = float(torch.dot(*x))
    squares = float(x[0].square() @ x[1].square())
    variance = projection.meeting(780) * (float((x[0] @ x[0]) * (x[1] @ x[1])) + exact**2 - 2 * squares)
    assert abs(found.mean() - exact) < 4 * np.sqrt(variance / 4000)
    assert 0.9 < found.var() / variance < 1.1


def test_a_minibatch_with_no_more_pairs_than_are_kept_is_kept_whole() -> None:
    x = torch.randn(3, pairs_of(20))
    projection = Projection(190)
    assert projection.of(x, 0) is x
    assert projection.meeting(190) == 0.0


def test_the_draw_is_what_it_always_was_so_that_old_files_compare_with_new_ones() -> None:
    places, signs = _drawn(Projection(16, seed=7), 45, 3, CPU)
    assert places.tolist()[:12] == PLACES
    assert signs.tolist()[:12] == SIGNS
    assert (signs == 0).sum() == 3


def test_a_layer_that_is_not_finite_stays_so() -> None:
    x = torch.randn(2, 200)
    x[1] = torch.nan
    made = Projection(32).of(x, 0)
    assert made[0].isfinite().all()
    assert made[1].isnan().all()
