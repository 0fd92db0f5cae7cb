"""What is said of a block structure: tables, plain data, words."""

from __future__ import annotations

import json

import numpy as np

from cka_plugin.analysis.blocks.detector import block_structure
from tests.support.planted import (
    planted,
)


def test_results_are_json_safe_and_readable() -> None:
    made = planted(np.random.default_rng(14), 10, [(3, 8)], examples=128, width=48, share=0.8, keep=0.6)
    representation = made.represent(32)
    for vectors in representation.vectors:
        vectors[9] = np.nan
    structure = block_structure(representation)
    record = json.loads(json.dumps(structure.to_dict(), allow_nan=False))
    assert record["verdict"] == "strong"
    assert record["matrix"][9][0] is None
    assert record["blocks"][0]["dominant_examples"][0].startswith("example-")
    frame = structure.to_frame()
    assert list(frame["start"]) == [3]
    assert "dominant_examples" not in frame
    text = repr(structure)
    assert text.startswith("Block structure: strong. Layers blocks.3 to blocks.7 (5 of 10) are alike")
    assert "blocks.3 .. blocks.7" in text
    assert repr(structure.blocks[0]).startswith("Block(strong, blocks.3 to blocks.7")
