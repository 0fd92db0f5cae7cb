"""What lies in a page comes back as it went in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cka_plugin.report.page.packing import packed, unpacked


@given(arrays(np.float64, (3, 2), elements=st.floats(-3.2, 3.2)))
def test_similarities_come_back_to_a_ten_thousandth_and_three_decimals_are_right(values: np.ndarray) -> None:
    back = np.array(unpacked(packed({"cka": values}))["cka"])
    assert np.abs(back - values).max() <= 1.0001e-4
    assert np.abs(back * 1000 % 1 - 0.5).min() > 0.05 - 1e-9  # no tie, which readers round either way
    assert np.abs(back - values)[np.abs(np.round(back, 3) - np.round(values, 3)) > 1e-9].size == 0


def test_missing_and_large_values_come_back() -> None:
    values = np.array([[np.nan, np.inf, 0.5], [40.0, -7.25, 0.0]])
    assert unpacked(packed({"cka": values}))["cka"] == [[None, None, 0.5], [40.0, -7.25, 0.0]]


def test_texts_become_visible_and_stay_whole() -> None:
    held = unpacked(packed({"layers": ["модель 模型", "a\x1b\u202eb", "</script>"], "n": 3, "none": None}))
    assert held == {"layers": ["модель 模型", "a\\x1b\\u202eb", "</script>"], "n": 3, "none": None}
