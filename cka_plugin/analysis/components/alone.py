"""Layers that unbiased CKA sees little of: examples that make most of their variance, each alone in its minibatch.

CKA without the diagonal of the Gram matrices knows an example by its products with others. Of one that lies far out,
with no second of its kind in the minibatch, these are small: at a share of 0.77 of the variance CKA of two layers that
share it is 0.01, and 0.99 where two such examples meet.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.grams import GramVectors

MOST = 0.5  # of the variance
TIMES = 5.0  # the variance of the second: with one less far behind it has a product that is seen


def alone_in_minibatches(model: GramVectors) -> npt.NDArray[np.bool_]:
    """(layers,) whether more than half of a layer's variance lies in examples alone in their minibatches.

    An example is alone where it holds more than half of the variance of its minibatch and five times as much as the
    second. Larger minibatches bring two of them together.

    Args:
        model: a representation, or anything else with its `diagonals`.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(64, 6)); x[[3, 40]] *= 100
        >>> alone_in_minibatches(pack_layers([x], [np.arange(32), np.arange(32, 64)])).tolist()
        [True]
        >>> alone_in_minibatches(pack_layers([x], [np.arange(64)])).tolist()
        [False]
    """
    alone = total = np.zeros(1)
    for diagonals in model.diagonals:
        variance = np.asarray(diagonals, dtype=np.float64)
        second, first = np.sort(variance, axis=1)[:, -2:].T
        sums = variance.sum(axis=1)
        alone = alone + np.where((first > MOST * sums) & (first > TIMES * second), first, 0.0)
        total = total + sums
    return np.asarray(alone > MOST * total)
