"""The verdict on a run: which part of the evidence is there, which is missing, and how it is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cka_plugin.analysis.blocks.detector import BlockStructure, block_structure, find_block_structure
from tests.support.planted import add_component, drifting, fresh, represent, rotation

EXAMPLES, WIDTH = 256, 64


def residual_like(rng: np.random.Generator, run: tuple[int, int], layers: int = 16) -> BlockStructure:
    """As in trained residual networks: all layers carry much the same, and over a run one component outweighs it."""
    shared = fresh(rng, EXAMPLES, WIDTH)
    scores = rng.normal(size=EXAMPLES)
    others = drifting(rng, layers, EXAMPLES, WIDTH, 0.8)
    made = []
    for i, other in enumerate(others):
        x = shared @ rotation(rng, WIDTH) + 0.5 * other
        made.append(add_component(rng, x, scores, 0.75) if run[0] <= i < run[1] else x)
    return block_structure(represent(made))


def test_a_component_that_sets_a_run_off_is_strong_though_the_rest_is_alike_too() -> None:
    for seed in range(3):
        structure = residual_like(np.random.default_rng(seed), (5, 12))
        assert structure.verdict == "strong", structure
        (block,) = structure.blocks
        assert (block.start, block.stop) == (5, 12)
        assert block.similarity_without_first_component > 0.5 * block.mean_similarity
        assert block.components_to_dissolve == 1
        assert block.contrast_without_shared_component < 0.5 * block.contrast
        assert block.missing == []
        left = block.contrast_without_shared_component
        drop = f"CKA drops by only {left:.2f} at the ends" if left > 0 else "CKA no longer drops at the ends"
        assert f"once the one they share is taken out of all layers, {drop}" in structure.reason


def test_at_one_end_of_the_network_the_same_is_weak_and_says_so() -> None:
    structure = residual_like(np.random.default_rng(0), (6, 16))
    assert structure.verdict == "weak"
    assert structure.blocks[0].missing == ["surroundings"]
    assert "lies at an end of the network" in structure.reason


def test_two_components_take_two_to_dissolve() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, EXAMPLES))
    others = drifting(rng, 16, EXAMPLES, WIDTH, 0.6)
    made = [
        add_component(rng, add_component(rng, x, second, 0.7), first, 0.6) if 5 <= i < 12 else x
        for i, x in enumerate(others)
    ]
    structure = block_structure(represent(made))
    assert structure.verdict == "strong", structure
    assert structure.blocks[0].components_to_dissolve == 2
    assert "once 2 components that they share are taken out" in structure.reason


def test_contrast_is_held_against_what_distance_brings() -> None:
    """The same drop of 0.22 is sharp where the inside is at 0.98, and no edge where it falls to 0.6 by itself."""
    distance = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    inside = (np.arange(16) >= 5) & (np.arange(16) < 11)
    edge = 0.22 * (inside[:, None] != inside)
    sharp, blurred = 1 - 0.005 * distance - edge, 1 - 0.06 * distance - edge
    (block,) = (block for block in find_block_structure(sharp).blocks if block.start == 5)
    assert block.stop == 11
    assert block.contrast == pytest.approx(0.22, abs=0.02)
    assert block.contrast_times > 10
    assert find_block_structure(blurred).verdict == "none"


def test_a_run_that_is_not_set_off_is_described() -> None:
    distance = np.abs(np.subtract.outer(np.arange(16), np.arange(16)))
    structure = find_block_structure(np.exp(-distance / 12))
    assert (structure.verdict, structure.blocks) == ("none", [])
    (run,) = structure.other_runs
    assert (run.verdict, run.missing) == ("none", ["contrast"])
    assert math.isfinite(run.contrast_times)
    assert f"layers {run.layers[0]} to {run.layers[-1]}" in structure.reason
    assert "not set off: CKA drops by only" in structure.reason
    assert "none" in repr(structure).splitlines()[2]
    assert structure.to_dict()["other_runs"][0]["missing"] == ["contrast"]
