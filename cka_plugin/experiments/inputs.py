"""The inputs themselves as a pseudo-layer: what two models share may be the data's doing. It reads the data again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from cka_plugin.adapters.base import first_tensor
from cka_plugin.analysis.grams import PackedGrams, pack_layers
from cka_plugin.data import Batch, ReadOptions, open_data
from cka_plugin.engine.reading import read_like
from cka_plugin.representation import Representation


def input_vectors(data: Any, like: Representation) -> PackedGrams:
    """The data as a pseudo-layer: raw pixels or features, in the minibatches of a representation.

    Args:
        data: what the representation was made on.
        like: the representation.

    Raises:
        ValueError: other examples, or examples that are not numbers of one shape.
    """
    read = read_like(like, ReadOptions())
    source = open_data(data)
    vectors, diagonals = [], []
    with contextlib.closing(source.batches(read)) as batches:  # type: ignore[type-var]
        for batch in _together(batches, like):
            grams = pack_layers([_numbers(batch)], [np.arange(batch.size)])
            vectors.append(grams.vectors[0])
            diagonals.append(grams.diagonals[0])
    return PackedGrams(vectors, diagonals, [minibatch.positions for minibatch in like.minibatches], like.passes)


def _together(batches: Iterator[Batch], like: Representation) -> Iterator[Batch]:
    """The minibatches read, once they are seen to be those of the representation."""
    minibatches = iter(like.minibatches)
    for batch in batches:
        minibatch = next(minibatches, None)
        known = None if minibatch is None else like.fingerprints[minibatch.positions]
        if known is None or not np.array_equal(batch.fingerprints, known):
            raise ValueError(f"the data are not those that {like.name} was made on: other examples, or another order")
        yield batch
    if next(minibatches, None) is not None:
        raise ValueError(f"the data are fewer than those that {like.name} was made on")


def _numbers(batch: Batch) -> np.ndarray:
    """(n, ...) the examples of a minibatch as they are in the data."""
    examples = list(batch.examples())
    tensors = [first_tensor(example) for example in examples]
    arrays = [np.asarray(e if t is None else t.float()) for e, t in zip(examples, tensors, strict=True)]
    if any(array.dtype.kind not in "uifb" for array in arrays) or len({array.shape for array in arrays}) != 1:
        raise ValueError(
            "the examples are not numbers of one shape (texts, or images of several sizes): similarity to the input "
            "needs arrays or images of one size"
        )
    return np.stack(arrays).astype(np.float64)
