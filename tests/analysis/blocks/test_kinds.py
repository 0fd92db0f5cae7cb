"""Of all modules of a network, those of one name in every block are judged."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.blocks.detector import block_structure
from cka_plugin.analysis.blocks.kinds import layers_of_one_kind
from tests.support.planted import MadeRepresentation, drifting, planted, represent

PARTS = ("conv1", "act1", "conv2", "act2")


def opened_up(seed: int = 0) -> tuple[MadeRepresentation, MadeRepresentation]:
    """A network with a planted block, by block outputs and by modules: inside of each block lies what is like nothing.

    The outputs stand under `act2`, after the addition.
    """
    rng = np.random.default_rng(seed)
    outputs = planted(rng, 12, [(4, 9)], examples=256, width=64, share=0.7, keep=0.6).layers
    modules, names = [outputs[0]], ["stem"]
    for i, output in enumerate(outputs[1:-1]):
        modules += [*drifting(rng, len(PARTS) - 1, 256, 64, 0.3), output]
        names += [f"stages.0.blocks.{i}.{part}" for part in PARTS]
    made = represent([*modules, outputs[-1]])
    for layer, name in zip(made.layers, [*names, "head"], strict=True):
        layer.name = name
    return represent(outputs), made


def test_a_block_hidden_in_a_checkerboard_is_found_among_the_outputs() -> None:
    outputs, modules = opened_up()
    found, among = block_structure(outputs), block_structure(modules)
    assert (found.verdict, among.verdict) == ("strong", "strong")
    (block,), (wide,) = found.blocks, among.blocks
    assert (block.start, block.stop) == (4, 9)
    assert (wide.layers[0], wide.layers[-1]) == ("stages.0.blocks.3.act2", "stages.0.blocks.7.act2")
    assert wide.stop - wide.start == len(wide.layers)
    assert wide.mean_similarity == pytest.approx(block.mean_similarity, abs=1e-6)
    assert wide.first_component_share == pytest.approx(block.first_component_share, abs=1e-6)


def test_what_is_judged_is_said_and_every_layer_keeps_its_row() -> None:
    _, modules = opened_up()
    found = block_structure(modules)
    assert found.judged == ["stem", *(f"stages.0.blocks.{i}.act2" for i in range(10)), "head"]
    assert "Judged by 'act2' of each block" in found.reason
    assert found.matrix.shape == (len(found.layers),) * 2
    assert found.first_component_share.shape == (42,)


def test_block_outputs_and_networks_without_blocks_are_judged_whole() -> None:
    outputs, _ = opened_up()
    assert block_structure(outputs).judged is None
    matrix = np.ones((6, 6))
    assert layers_of_one_kind([f"features.{i}" for i in range(6)], matrix) is None
    assert layers_of_one_kind(["stem", *(f"blocks.{i}" for i in range(4)), "head"], matrix) is None


def test_a_name_that_only_some_blocks_have_is_not_judged() -> None:
    names = [f"stages.{s}.blocks.{b}.{part}" for s in range(2) for b in range(2) for part in ("conv", "act")]
    names.insert(5, "stages.1.blocks.0.downsample.conv")
    found = layers_of_one_kind(names, np.eye(9))
    assert found is not None
    assert found.kind in ("conv", "act")
    assert len(found.positions) == 4
