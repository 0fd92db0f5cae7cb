"""The reading of a run: the examples and minibatches of another one, again."""

from __future__ import annotations

from dataclasses import replace

from cka_plugin.data import ReadOptions
from cka_plugin.representation import Representation


def read_like(representation: Representation, read: ReadOptions) -> ReadOptions:
    """Read the same examples in the same minibatches as those of a representation."""
    minibatches = [(minibatch.pass_index, minibatch.positions) for minibatch in representation.minibatches]
    sizes = representation.batch_sizes
    return replace(
        read,
        batch_size=read.batch_size or sizes[0],
        passes=max(representation.passes) + 1,
        like=(list(representation.example_ids), minibatches),
    )
