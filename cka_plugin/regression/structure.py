"""A block structure that the baseline does not have."""

from __future__ import annotations

from cka_plugin.analysis.blocks.detector import block_structure
from cka_plugin.representation import Representation

_FEWEST_LAYERS = 4  # a block is a run of several layers among others


def new_block_structure(reference: Representation, made: Representation) -> list[str]:
    """A sentence where the model has a block structure (`strong`) and its baseline none."""
    if len(made.layers) < _FEWEST_LAYERS:
        return []
    now = block_structure(made)
    if now.verdict != "strong" or block_structure(reference).verdict != "none":
        return []
    block = now.blocks[0]
    return [f"a block structure that the baseline does not have, {block.layers[0]} to {block.layers[-1]}: {now.reason}"]
