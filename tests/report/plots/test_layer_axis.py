"""As many layers are named as fit, those where stages begin first."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cka_plugin.report.plots.layer_axis import fitting


@given(st.integers(1, 500), st.floats(0.1, 60.0))
def test_named_layers_are_apart_and_the_first_is_one_of_them(count: int, apart: float) -> None:
    places = fitting([f"stages.{i // 40}.blocks.{i % 40}" for i in range(count)], apart)
    assert places[0] == 0
    assert places == sorted(set(places))
    assert all(later - earlier >= min(apart, 1.0) for earlier, later in itertools.pairwise(places))
    if apart > 1.0:
        assert all(later - earlier >= apart for earlier, later in itertools.pairwise(places))
    else:
        assert len(places) == count
