"""Depths along a network and the towers of names."""

from __future__ import annotations

import pytest

from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import spread_depths, tower


def test_the_depths_of_towers_and_trunk_rise_each_on_its_own() -> None:
    names = ["stem", "text.blocks.0", "text.norm", "vision.stem", "vision.blocks.0", "vision.norm", "head"]
    spread = {l.name: l.depth for l in spread_depths([adapters.Layer(n, n, "module", 0.0) for n in names])}
    assert spread == pytest.approx(
        {
            "stem": 0, "text.blocks.0": 0, "text.norm": 1,
            "vision.stem": 0, "vision.blocks.0": 0.5, "vision.norm": 1, "head": 1,
        }
    )  # fmt: skip


def test_a_path_with_a_vocabulary_word_inside_is_no_tower() -> None:
    assert tower("encoder.layers.3.norm") == ""
    names = ["stages.0.blocks.0", "features.norm", "head"]
    assert [l.depth for l in spread_depths([adapters.Layer(n, n, "module", 0.0) for n in names])] == [0.0, 0.5, 1.0]
