"""One power of two a layer for all minibatches: exact, whatever the scale of a minibatch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cka_plugin.representation import ScaleKeeper


@given(st.lists(st.integers(-60, 60), min_size=2, max_size=6))
def test_all_minibatches_are_brought_to_one_scale_exactly(exponents: list[int]) -> None:
    rng = np.random.default_rng(0)
    keeper = ScaleKeeper(1)
    expected = []
    for exponent in exponents:
        vectors = rng.integers(1, 9, (1, 6)).astype(np.float32)
        diagonals = rng.integers(1, 9, (1, 4)).astype(np.float32)
        expected.append((vectors.astype(np.float64) * 2.0**exponent, diagonals.astype(np.float64) * 2.0**exponent))
        keeper.add(vectors, diagonals, np.array([exponent]))
    scale = 2.0 ** int(keeper.exponents[0])
    for (vectors, diagonals), (v, d) in zip(keeper.blocks, expected, strict=True):
        assert np.array_equal(vectors * scale, v)
        assert np.array_equal(diagonals * scale, d)
        assert np.isfinite(np.square(vectors * np.float32(2.0**20))).all()


def test_a_dead_minibatch_sets_no_scale() -> None:
    keeper = ScaleKeeper(2)
    for diagonals, exponents in (([0.0, np.nan], [9, 9]), ([1.0, 1.0], [3, -4])):
        keeper.add(np.ones((2, 6), np.float32), np.full((2, 4), np.array(diagonals)[:, None]), np.array(exponents))
    assert keeper.exponents.tolist() == [3, -4]
