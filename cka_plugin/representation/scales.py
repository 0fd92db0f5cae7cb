"""One power of two a layer, the same for all its minibatches: a scale for each minibatch would reweight them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cka_plugin.representation.minibatch import Array


class ScaleKeeper:
    """Keeps one power of two a layer, the same for every minibatch.

    The first minibatch in which a layer is alive sets its exponent. A later one is brought to it, exactly; one that
    would overflow float32 products there raises the exponent, and the earlier ones are brought to the new one.
    """

    HEADROOM = 40  # vectors times 2**40 still have float32 squares

    def __init__(self, layers: int) -> None:
        self.exponents = np.zeros(layers, dtype=np.int64)
        self.alive = np.zeros(layers, dtype=bool)
        self.blocks: list[tuple[Array, Array]] = []

    def add(self, vectors: Array, diagonals: Array, exponents: npt.NDArray[np.int64]) -> None:
        """Take one minibatch, whose arrays are changed in place."""
        live = (np.abs(diagonals).max(axis=1) > 0) & np.isfinite(diagonals).all(axis=1)
        new = live & ~self.alive
        self.exponents[new] = exponents[new]
        self.alive |= new
        shift = np.where(live, exponents - self.exponents, 0)
        for layer in np.flatnonzero(shift > self.HEADROOM):
            for earlier_vectors, earlier_diagonals in self.blocks:
                _scale(earlier_vectors[layer], -int(shift[layer]))
                _scale(earlier_diagonals[layer], -int(shift[layer]))
            self.exponents[layer] = exponents[layer]
            shift[layer] = 0
        for layer in np.flatnonzero(shift):
            _scale(vectors[layer], int(shift[layer]))
            _scale(diagonals[layer], int(shift[layer]))
        self.blocks.append((vectors, diagonals))


def _scale(row: Array, exponent: int) -> None:
    np.ldexp(row, exponent, out=row)
