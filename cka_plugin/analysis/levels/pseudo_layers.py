"""Pseudo-layers: the inputs and the labels as if they were layers. What two models share may be the data's doing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from cka_plugin.analysis.grams import GramVectors, PackedGrams, pack_layers
from cka_plugin.core import pack, u_center


def input_layer(inputs: npt.ArrayLike, like: GramVectors) -> PackedGrams:
    """The raw inputs as a layer, in the minibatches of a representation.

    Args:
        inputs: (n_examples, ...) pixels or features, further axes flattened.
        like: the representation it is to be compared with, by `cka_sums`.

    Raises:
        ValueError: fewer inputs than the representation has examples.
    """
    array = np.asarray(inputs)
    _check_length(len(array), like, "inputs")
    return pack_layers([array], like.positions, like.passes)


def label_layer(labels: Sequence[object] | npt.NDArray[np.generic], like: GramVectors) -> PackedGrams:
    """The labels as a layer: two examples have similarity 1 where their classes are the same, else 0 (one-hot).

    Args:
        labels: (n_examples,) class of each example.
        like: the representation it is to be compared with, by `cka_sums`.

    Raises:
        ValueError: fewer labels than the representation has examples, or not one an example.

    Example:
        >>> positions = [np.arange(6)]
        >>> digits = pack_layers([np.eye(3)[[0, 0, 1, 1, 2, 2]]], positions)
        >>> made = label_layer(["cat", "cat", "dog", "dog", "owl", "owl"], digits)
        >>> np.allclose(made.vectors[0], digits.vectors[0])
        True
    """
    given = np.asarray(labels)
    if given.ndim != 1:
        raise ValueError(f"labels of shape {given.shape}: expected one class an example")
    _, classes = np.unique(given, return_inverse=True)
    _check_length(len(classes), like, "labels")
    vectors, diagonals = [], []
    for chosen in like.positions:
        same = torch.from_numpy(np.equal.outer(classes[chosen], classes[chosen])).double()
        a, diagonal = u_center(same)
        vectors.append(pack(a)[None].numpy())
        diagonals.append(diagonal[None].numpy())
    return PackedGrams(vectors, diagonals, list(like.positions), list(like.passes))


def _check_length(given: int, like: GramVectors, what: str) -> None:
    needed = max(int(np.max(chosen)) for chosen in like.positions) + 1
    if given < needed:
        raise ValueError(f"{given} {what} for a representation of {needed} examples: expected one an example")
