"""Ways to relabel models, and the smallest p that they allow."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.statistics.model_groups import gap_test
from cka_plugin.analysis.statistics.permutation import group_splits, smallest_split_p


@pytest.mark.parametrize(
    ("n_a", "n_b", "smallest"), [(3, 3, 0.1), (2, 3, 0.1), (4, 4, 2 / 70), (5, 5, 2 / 252), (1, 1, 1.0)]
)
def test_smallest_p_is_stated_and_reached(n_a, n_b, smallest):
    assert smallest_split_p(n_a, n_b) == pytest.approx(smallest)
    a, b = np.tile([1.0, 0.0], (n_a, 1)), np.tile([0.0, 1.0], (n_b, 1))
    assert gap_test(a, b).p == pytest.approx(smallest)


def test_splits_are_all_there_are_or_drawn_without_bias():
    splits, exact = group_splits(2, 4)
    assert exact
    assert len({tuple(row) for row in splits.tolist()}) == 15
    drawn, exact = group_splits(10, 15, most=4000, seed=1)
    assert not exact
    assert (drawn.sum(axis=1) == 10).all()
    assert drawn.mean(axis=0) == pytest.approx(0.4, abs=0.04)
