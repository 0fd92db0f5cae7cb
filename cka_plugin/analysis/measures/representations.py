"""The similarity of every two layers of two models by any measure, from their representations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cka_plugin.analysis.grams import GramVectors, alive_rows, check_minibatches, double
from cka_plugin.analysis.measures.gram_matrices import GramMatrices
from cka_plugin.analysis.measures.registry import measure_of
from cka_plugin.core import MIN_MINIBATCHES, Floats, recover_centered, unpack


@dataclass(frozen=True)
class Measured:
    """A measure between the layers of two models, minibatch by minibatch.

    Attributes:
        values: (minibatches, layers_a, layers_b).
        weights: (minibatches,) n(n - 3).
        first_pass: (minibatches,) minibatches of the first pass over the data, the only ones intervals use.
    """

    values: Floats
    weights: Floats
    first_pass: npt.NDArray[np.bool_]

    def mean(self) -> Floats:
        """(layers_a, layers_b) the mean over minibatches."""
        return np.asarray(np.einsum("b,bxy->xy", self.weights, self.values) / self.weights.sum())

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Jackknife interval of `mean()`: one minibatch of the first pass is left out at a time, Student's t.

        It says how much the mean depends on these examples, at this size of minibatches; what a measure is off by
        because n is small is in the mean and in both ends. Of 95% intervals 93 to 98% held the mean over ever more
        minibatches, at 8 and at 20 of them (`python -m tests.calibration.measures`).

        Returns:
            (low, high); NaN where there are fewer than 8 minibatches.

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level {level!r}: expected a number between 0 and 1, such as 0.95")
        estimate = self.mean()
        values, weights = self.values[self.first_pass], self.weights[self.first_pass]
        count = len(values)
        if count < MIN_MINIBATCHES:
            return np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
        from scipy.stats import t

        weighted = weights[:, None, None] * values
        left_out = (weighted.sum(0) - weighted) / (weights.sum() - weights)[:, None, None]
        error = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean(0)).sum(0))
        half = t.ppf(0.5 + level / 2, count - 1) * error
        return estimate - half, estimate + half


def measured(a: GramVectors, b: GramVectors, measure: str, **options: Any) -> Measured:
    """A measure other than CKA between the layers of two models. Minibatches too small for it are left out.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        b: another on the same minibatches.
        measure: any but `cka`; see `similarity`.
        options: of the measure.

    Returns:
        Its values; NaN for layers that are constant or not finite.

    Raises:
        ValueError: unlike minibatches, an unknown measure or option, or no minibatch large enough.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(64, 5))
        >>> made = pack_layers([x, x[:, :1]], [np.arange(32), np.arange(32, 64)])
        >>> measured(made, made, "mutual_knn").mean().diagonal().tolist()
        [1.0, 1.0]
    """
    values, weights, passes = [], [], []
    for part in parts_of(a, b, measure, **options):
        values.append(part.between(part.right))
        weights.append(part.weight)
        passes.append(part.pass_index)
    return Measured(np.stack(values), np.array(weights), np.array(passes) == min(a.passes))


@dataclass(frozen=True)
class Part:
    """Two models on one minibatch, ready for a measure.

    Attributes:
        left: Gram matrices of the layers of `a` that have some.
        right: of those of `b`.
        rows: which layers of `a` these are.
        columns: which of `b`.
        shape: layers of `a`, layers of `b`.
        weight: n(n - 3).
        pass_index: of the minibatch.
        measure: of two `GramMatrices`.
    """

    left: GramMatrices
    right: GramMatrices
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    shape: tuple[int, int]
    weight: float
    pass_index: int
    measure: Callable[[GramMatrices, GramMatrices], Tensor]

    def between(self, right: GramMatrices) -> Floats:
        """(layers of a, layers of b) the measure, NaN for layers without Gram matrices.

        right: `self.right`, or its examples in another order.
        """
        found = np.full(self.shape, np.nan)
        if self.rows.size and self.columns.size:
            found[np.ix_(self.rows, self.columns)] = self.measure(self.left, right).numpy()
        return found


def parts_of(a: GramVectors, b: GramVectors, measure: str, **options: Any) -> Iterator[Part]:
    """The minibatches large enough for a measure, one after the other; arguments and errors as for `measured`."""
    chosen = measure_of(measure, options)
    check_minibatches(a, b)
    sizes = [len(positions) for positions in a.positions]
    reasons = [chosen.too_small(n, **options) for n in sizes]
    if all(reasons):
        raise ValueError(f"measure {measure!r}: {reasons[int(np.argmax(sizes))]}; these have at most {max(sizes)}")
    for index, (n, reason) in enumerate(zip(sizes, reasons, strict=True)):
        if not reason:
            left, rows = _of_minibatch(a, index)
            right, columns = (left, rows) if b is a else _of_minibatch(b, index)
            shape = len(a.vectors[index]), len(b.vectors[index])
            between = partial(chosen.between, **options)
            yield Part(left, right, rows, columns, shape, float(n * (n - 3)), a.passes[index], between)


def _of_minibatch(grams: GramVectors, index: int) -> tuple[GramMatrices, npt.NDArray[np.int64]]:
    """The centred Gram matrices of the layers that have some, and which these are."""
    vectors, diagonals = grams.vectors[index], grams.diagonals[index]
    rows = alive_rows(vectors, diagonals)
    rows = rows[(diagonals[rows] != 0).any(axis=1)]
    k = recover_centered(unpack(double(vectors[rows])), double(diagonals[rows]))
    return GramMatrices(k, float(np.finfo(vectors.dtype).eps)), rows
