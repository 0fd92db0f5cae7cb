"""What the analyses take: packed U-centred Gram matrices of a model's layers, a minibatch at a time.

A `Representation` is such an object; so are the pseudo-layers made of inputs and labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from cka_plugin.core import Sums, as_rows, examples_of, gram, pack, u_center

_CHUNK_BYTES = 1 << 26  # float64 Gram matrices held at a time


class GramVectors(Protocol):
    """Minibatches of packed Gram matrices."""

    @property
    def vectors(self) -> Sequence[npt.NDArray[Any]]:
        """One (layers, n_b(n_b-1)/2) array a minibatch: upper triangles of the U-centred Gram matrices."""

    @property
    def diagonals(self) -> Sequence[npt.NDArray[Any]]:
        """One (layers, n_b) array a minibatch: the diagonals of HKH."""

    @property
    def positions(self) -> Sequence[npt.NDArray[np.int64]]:
        """One (n_b,) array a minibatch: which examples it holds."""

    @property
    def passes(self) -> Sequence[int]:
        """The pass over the data that each minibatch belongs to."""


@dataclass(frozen=True)
class PackedGrams:
    """`GramVectors` made from arrays; see `pack_layers`."""

    vectors: list[npt.NDArray[Any]]
    diagonals: list[npt.NDArray[Any]]
    positions: list[npt.NDArray[np.int64]]
    passes: list[int]


def pack_layers(
    layers: Sequence[npt.ArrayLike], positions: Sequence[npt.NDArray[np.int64]], passes: Sequence[int] | None = None
) -> PackedGrams:
    """Packed linear Gram matrices of activations, features or labels in memory.

    Args:
        layers: each (n_examples, ...), further axes flattened.
        positions: which examples each minibatch holds, at least 4.
        passes: the pass of each minibatch. Default: one pass.

    Raises:
        ValueError: a minibatch of fewer than 4 examples.

    Example:
        >>> made = pack_layers([np.eye(8)], [np.arange(8)])
        >>> made.vectors[0].shape, made.diagonals[0].shape
        ((1, 28), (1, 8))
    """
    arrays = [np.asarray(layer) for layer in layers]
    vectors, diagonals = [], []
    for chosen in positions:
        grams = []
        for array in arrays:
            rows = as_rows(torch.from_numpy(np.ascontiguousarray(array[chosen])).double())
            matrix, exponent = gram(rows)
            grams.append(torch.ldexp(matrix, exponent))  # one scale for all minibatches of a layer
        a, diagonal = u_center(torch.stack(grams))
        vectors.append(pack(a).numpy())
        diagonals.append(diagonal.numpy())
    return PackedGrams(vectors, diagonals, list(positions), [0] * len(vectors) if passes is None else list(passes))


def cka_sums(a: GramVectors, b: GramVectors | None = None) -> Sums:
    """Plain minibatch CKA between the layers of two models, or of one with itself, in float64.

    Raises:
        ValueError: parts that do not fit together, or unlike minibatches.
    """
    check_minibatches(a, b)
    return sums_of(zip(a.vectors, a.vectors if b is None else b.vectors, strict=True), a.passes)


def sums_of(minibatches: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]], passes: Sequence[int]) -> Sums:
    """Inner products of packed matrices, float64, a minibatch at a time.

    Args:
        minibatches: pairs of (layers_a, pairs) and (layers_b, pairs).
        passes: the pass of each minibatch; only the first gives intervals.
    """
    xy, xx, yy = [], [], []
    for a, b in minibatches:
        xy.append(2.0 * (a.astype(np.float64, copy=False) @ b.astype(np.float64, copy=False).T))
        xx.append(2.0 * np.einsum("lp,lp->l", a, a, dtype=np.float64))
        yy.append(2.0 * np.einsum("lp,lp->l", b, b, dtype=np.float64))
    first = np.asarray(passes) == min(passes)
    return Sums(np.array(xy), np.array(xx), np.array(yy), first)


def check_minibatches(grams: GramVectors, other: GramVectors | None = None) -> None:
    """Raise a ValueError unless the parts fit together, and two models hold the same minibatches."""
    vectors, diagonals, positions = grams.vectors, grams.diagonals, grams.positions
    if len(vectors) == 0:
        raise ValueError("no minibatches: expected at least one")
    if not len(vectors) == len(diagonals) == len(positions) == len(grams.passes):
        raise ValueError(
            f"{len(vectors)} minibatches of vectors, {len(diagonals)} of diagonals, {len(positions)} of positions and "
            f"{len(grams.passes)} passes: expected as many of each"
        )
    for index, (vector, diagonal, chosen) in enumerate(zip(vectors, diagonals, positions, strict=True)):
        n = examples_of(vector.shape[1])
        if diagonal.shape != (len(vector), n) or len(chosen) != n:
            raise ValueError(
                f"minibatch {index}: vectors {vector.shape}, diagonals {diagonal.shape} and {len(chosen)} positions do "
                "not go together; expected (layers, n(n-1)/2), (layers, n) and n"
            )
    if other is not None:
        check_minibatches(other)
        theirs = other.positions
        if len(theirs) != len(positions) or not all(map(np.array_equal, positions, theirs)):
            raise ValueError("the two models do not hold the same examples in the same minibatches")


def layer_chunks(layers: int, n: int) -> Iterator[slice]:
    """Slices of the layers whose float64 (n, n) matrices fit the working memory together."""
    size = max(1, _CHUNK_BYTES // (8 * n * n))
    for start in range(0, layers, size):
        yield slice(start, min(start + size, layers))


def alive_rows(vectors: npt.NDArray[Any], diagonals: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Positions of the layers of a minibatch that are finite."""
    return np.flatnonzero(np.isfinite(vectors).all(axis=1) & np.isfinite(diagonals).all(axis=1))


def double(array: npt.NDArray[Any]) -> torch.Tensor:
    """A float64 tensor of its own, whatever memory the array lies in."""
    return torch.from_numpy(np.array(array, dtype=np.float64))
