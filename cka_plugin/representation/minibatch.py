"""One minibatch of a representation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cka_plugin.storage import Unread, at_hand

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Minibatch:
    """One minibatch of a representation: the vectors of all layers, and which examples they are of.

    Attributes:
        vectors: (layers, n(n-1)/2) float32, packed U-centred Gram matrices; or sketches of them, (layers, size).
        diagonals: (layers, n) float32, the diagonals of HKH.
        positions: (n,) int, positions in the representation's `example_ids`.
        index: its number in the whole run, all passes and shards counted.
        pass_index: which pass over the data it belongs to, from 0.
    """

    vectors: Array
    diagonals: Array
    positions: npt.NDArray[np.int64]
    index: int
    pass_index: int

    @property
    def size(self) -> int:
        """Number of examples n."""
        return len(self.positions)


class _WhenUsed:
    """A field that takes an array, or one of a large file that is read and checked when the field is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, minibatch: Minibatch, owner: type[Minibatch]) -> Array:
        held: Array = at_hand(vars(minibatch)[self._name])
        vars(minibatch)[self._name] = held
        return held

    def __set__(self, minibatch: Minibatch, value: Array | Unread) -> None:
        vars(minibatch)[self._name] = value


for _name in ("vectors", "diagonals"):
    setattr(Minibatch, _name, _WhenUsed(_name))  # to `dataclass` they are fields like any other
