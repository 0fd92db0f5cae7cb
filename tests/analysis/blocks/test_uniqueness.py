"""Whether the blocks of two models are alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cka_plugin.analysis.blocks.detector import block_structure, find_block_structure
from cka_plugin.analysis.blocks.uniqueness import compare_blocks
from cka_plugin.analysis.components.principal import components, squared_cosines
from cka_plugin.analysis.grams import cka_sums
from tests.support.planted import (
    fresh,
    planted,
)


def test_blocks_of_two_models_are_told_alike_or_unlike() -> None:
    rng = np.random.default_rng(13)
    first = planted(rng, 12, [(3, 9)], examples=256, width=64, share=0.8, keep=0.6)
    common = [x + 0.3 * fresh(rng, 256, 64) for x in first.layers]
    outside = [0, 1, 2, 9, 10, 11]
    for alike in (True, False):
        other = planted(rng, 12, [(3, 9)], examples=256, width=64, share=0.8, keep=0.6)
        for layer in range(12) if alike else outside:
            other.layers[layer] = common[layer]
        a, b = first.represent(), other.represent()
        cosine = squared_cosines(components(a), components(b))
        found = compare_blocks(block_structure(a), block_structure(b), cka_sums(a, b).cka(), cosine)
        assert len(found.pairs) == 1
        assert found.alike is found.pairs[0].alike is alike
        assert (found.pairs[0].first_component_cosine > 0.8) is alike
        assert found.outside > 0.7
        assert ("alike" if alike else "unlike") in found.reason
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["alike"] is alike
        assert list(found.to_frame()["between"]) == [found.pairs[0].between]
        assert "blocks.3 .. blocks.8" in repr(found)


def test_models_without_blocks_have_none_to_compare() -> None:
    distance = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    drift = find_block_structure(0.8**distance)
    found = compare_blocks(drift, drift, drift.matrix)
    assert (found.pairs, found.alike) == ([], False)
    assert found.outside == pytest.approx(1)
    assert found.reason.startswith("Neither model")
    with pytest.raises(ValueError, match="layers of a by layers of b"):
        compare_blocks(drift, drift, np.eye(8))
