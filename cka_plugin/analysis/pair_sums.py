"""The inner products that CKA of any two models needs, each pair's made once and kept in memory or in a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cka_plugin.core import Floats, Sums, inner_products, pairs_of, self_products
from cka_plugin.representation import Representation
from cka_plugin.storage.vectors import VectorStore, release


class PairSums:
    """Inner products per minibatch of the layers of any two of some models.

    Args:
        representations: of the same examples, by name.
        estimator: `unbiased` or `biased`.
        store: where they lie: those of many models are larger than their vectors.
    """

    def __init__(self, representations: Mapping[str, Representation], estimator: str, store: VectorStore) -> None:
        self.representations = representations
        self.estimator = estimator
        self.store = store
        self._of_pairs: dict[tuple[str, str], Sums] = {}
        self._own: dict[str, Floats] = {}

    def of(self, a: str, b: str) -> Sums:
        """The sums of two models, by their names."""
        if (a, b) not in self._of_pairs:
            if (b, a) in self._of_pairs:
                other = self._of_pairs[b, a]
                self._of_pairs[a, b] = Sums(
                    other.xy.transpose(0, 2, 1), other.yy, other.xx, other.first_pass, other.meeting
                )
            else:
                self._of_pairs[a, b] = self._made(a, b)
        return self._of_pairs[a, b]

    def unkept(self, a: str, b: str) -> Sums:
        """The same, not kept: for looking at very many pairs once."""
        if (a, b) in self._of_pairs or (b, a) in self._of_pairs:
            return self.of(a, b)
        first, second = self.representations[a], self.representations[b]
        xy = np.empty((len(first.minibatches), len(first.layers), len(second.layers)))
        return self._filled(xy, a, b)

    def _made(self, a: str, b: str) -> Sums:
        first, second = self.representations[a], self.representations[b]
        return self._filled(self.store.empty((len(first.minibatches), len(first.layers), len(second.layers))), a, b)

    def _filled(self, xy: Floats, a: str, b: str) -> Sums:
        first, second = self.representations[a], self.representations[b]
        for row, x, y in zip(xy, first.minibatches, second.minibatches, strict=True):
            row[...] = inner_products(x.vectors, x.diagonals, y.vectors, y.diagonals, self.estimator)
            release(row, x.vectors, y.vectors)
        first_pass = np.array([number == 0 for number in first.passes])
        meeting = None
        if first.projection is not None:
            meeting = np.array([first.projection.meeting(pairs_of(n)) for n in first.batch_sizes])
        return Sums(xy, self._with_itself(a), self._with_itself(b), first_pass, meeting)

    def _with_itself(self, name: str) -> Floats:
        """(minibatches, layers) of a model; NaN for layers without a similarity."""
        if name not in self._own:
            representation = self.representations[name]
            dead = np.array([layer.name in representation.problems for layer in representation.layers])
            own = []
            for minibatch in representation.minibatches:
                own.append(self_products(minibatch.vectors, minibatch.diagonals, self.estimator))
                release(minibatch.vectors)
            self._own[name] = np.where(dead, np.nan, np.stack(own))
        return self._own[name]
