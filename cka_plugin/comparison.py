"""Comparison: all pairs of layers of all models, from their representations alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core.similarity import Floats, Sums, check_estimator, inner_products, self_products
from cka_plugin.model_analyses import ModelAnalyses
from cka_plugin.representation.representation import Representation, check_comparable, listed
from cka_plugin.storage.vectors import VectorStore, budget_bytes, release

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from cka_plugin.analysis.blocks.detector import BlockStructure


class Comparison(ModelAnalyses):
    """The similarity of every layer of every model with every other.

    Args:
        representations: of the same examples, with unique names.
        estimator: `unbiased` or `biased`; both come from the same vectors.
        match: `content` or `ids`: what must agree between the examples of any two models.

    Raises:
        ValueError: representations of other examples, in another order, or of another kernel.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
        >>> comparison = cka.compare(nets, data=torch.randn(100, 8), granularity="module", progress=False)
        >>> comparison.names, comparison.matrix("a", "b").shape
        (['a', 'b'], (3, 3))
    """

    def __init__(
        self, representations: Sequence[Representation], estimator: str = "unbiased", match: str = "content"
    ) -> None:
        check_estimator(estimator)
        if not representations:
            raise ValueError("a comparison needs at least one representation")
        names = [representation.name for representation in representations]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of compared models must be unique: given {', '.join(names)}")
        for other in representations:
            check_comparable(representations[0], other, match)
        self.representations = {representation.name: representation for representation in representations}
        self.estimator = estimator
        self.match = match
        self._own: dict[str, Floats] = {}
        self._sums: dict[tuple[str, str], Sums] = {}
        self._store = VectorStore(budget_bytes("auto"))  # sums of many models are larger than their vectors
        self._blocks: dict[str, BlockStructure] = {}

    @property
    def names(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(self.representations)

    def layers(self, name: str) -> list[Layer]:
        """The layers of a model, in the order in which they fire."""
        return self[name].layers

    def __getitem__(self, name: str) -> Representation:
        """The representation of a model by its name."""
        if name not in self.representations:
            raise ValueError(f"model {name!r} is not in this comparison: it has {listed(self.names)}")
        return self.representations[name]

    def sums(self, a: str, b: str) -> Sums:
        """Inner products per minibatch of the layers of two models; computed once."""
        if (a, b) not in self._sums:
            if (b, a) in self._sums:
                other = self._sums[b, a]
                self._sums[a, b] = Sums(other.xy.transpose(0, 2, 1), other.yy, other.xx, other.first_pass)
            else:
                first, second = self[a], self[b]
                shape = (len(first.minibatches), len(first.layers), len(second.layers))
                xy = self._store.empty(shape)
                for row, x, y in zip(xy, first.minibatches, second.minibatches, strict=True):
                    row[...] = inner_products(x.vectors, x.diagonals, y.vectors, y.diagonals, self.estimator)
                    release(row, x.vectors, y.vectors)
                first_pass = np.array([number == 0 for number in first.passes])
                self._sums[a, b] = Sums(xy, self._self_sums(a), self._self_sums(b), first_pass)
        return self._sums[a, b]

    def _self_sums(self, name: str) -> Floats:
        if name not in self._own:
            representation = self[name]
            dead = np.array([layer.name in representation.problems for layer in representation.layers])
            own = []
            for minibatch in representation.minibatches:
                own.append(self_products(minibatch.vectors, minibatch.diagonals, self.estimator))
                release(minibatch.vectors)
            self._own[name] = np.where(dead, np.nan, np.stack(own))
        return self._own[name]

    def pair(self, a: str | None, b: str | None) -> tuple[str, str]:
        """The two models meant: `a` alone, with itself; neither, the first and the last model."""
        if a is None and b is None:
            return self.names[0], self.names[-1]
        first = a if a is not None else b
        second = b if b is not None else first
        assert first is not None
        assert second is not None
        return first, second

    def matrix(self, a: str | None = None, b: str | None = None) -> Floats:
        """CKA of every layer of model `a` with every layer of model `b`.

        Args:
            a: a model's name; alone, it is compared with itself.
            b: another's; without both, the first and the last model are meant.

        Returns:
            (layers of a, layers of b) float64; NaN for dead layers. Unbiased values may lie slightly outside [0, 1].

        Raises:
            ValueError: no such model.
        """
        return self.sums(*self.pair(a, b)).cka()

    def interval(self, a: str | None = None, b: str | None = None, level: float = 0.95) -> tuple[Floats, Floats]:
        """Jackknife interval over minibatches of each entry of `matrix(a, b)`.

        Returns:
            (low, high), each like `matrix()`; NaN where there are fewer than 8 minibatches.
        """
        return self.sums(*self.pair(a, b)).interval(level)

    def models(self) -> Floats:
        """Similarity of whole models: the mean CKA of layers at equal relative depth.

        Each layer is taken with the layer of the other model whose depth is nearest; both directions are averaged.

        Returns:
            (models, models) float64, with 1 on the diagonal; layers without a similarity are left out.
        """
        count = len(self.names)
        table = np.eye(count)
        for i, a in enumerate(self.names):
            for j in range(i + 1, count):
                b = self.names[j]
                matrix = self.matrix(a, b)
                depth_a = np.array([layer.depth for layer in self.layers(a)])
                depth_b = np.array([layer.depth for layer in self.layers(b)])
                gap = np.abs(depth_a[:, None] - depth_b[None, :])
                forward = matrix[np.arange(len(depth_a)), gap.argmin(1)]
                backward = matrix[gap.argmin(0), np.arange(len(depth_b))]
                means = [np.nanmean(v) if np.isfinite(v).any() else np.nan for v in (forward, backward)]
                table[i, j] = table[j, i] = float(np.mean(means))
        return table

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Every pair of layers as a row: both models, layers, paths and depths, `cka`, `low`, `high`."""
        import pandas as pd

        frames = []
        pairs = [(a, b) for i, a in enumerate(self.names) for b in self.names[i + 1 :]] or [
            (self.names[0], self.names[0])
        ]
        for a, b in pairs:
            matrix = self.matrix(a, b)
            low, high = self.interval(a, b, level)
            rows, columns = np.indices(matrix.shape)
            layers_a = [self.layers(a)[i] for i in rows.ravel()]
            layers_b = [self.layers(b)[j] for j in columns.ravel()]
            frames.append(
                pd.DataFrame(
                    {
                        "model_a": a,
                        "layer_a": [layer.name for layer in layers_a],
                        "path_a": [layer.path for layer in layers_a],
                        "depth_a": [layer.depth for layer in layers_a],
                        "model_b": b,
                        "layer_b": [layer.name for layer in layers_b],
                        "path_b": [layer.path for layer in layers_b],
                        "depth_b": [layer.depth for layer in layers_b],
                        "cka": matrix.ravel(),
                        "low": low.ravel(),
                        "high": high.ravel(),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON: models, layers, matrices of all pairs with intervals."""
        first = self[self.names[0]]
        names = self.names
        return {
            "models": [
                {
                    "name": name,
                    "layers": [vars(layer) for layer in self.layers(name)],
                    "accuracy": self[name].accuracy,
                    "problems": self[name].problems,
                    "options": self[name].options,
                }
                for name in names
            ],
            "examples": first.n_examples,
            "minibatches": len(first.minibatches),
            "batch_sizes": first.batch_sizes,
            "estimator": self.estimator,
            "skipped": first.skipped,
            "matrices": [
                {
                    "a": a,
                    "b": b,
                    "cka": _plain(self.matrix(a, b)),
                    "low": _plain(self.interval(a, b)[0]),
                    "high": _plain(self.interval(a, b)[1]),
                }
                for i, a in enumerate(names)
                for b in names[i:]
            ],
            "similarity": _plain(self.models()),
        }

    def plot(self, a: str | None = None, b: str | None = None) -> Figure:
        """The heatmap of one pair of models, or of every pair where more than two are compared and none is named.

        Returns:
            A matplotlib figure (`.savefig(path)`); notebooks show it.

        Raises:
            ModuleNotFoundError: matplotlib is not installed: `pip install "cka-plugin[report]"`.
        """
        from cka_plugin.report.plots import plot

        return plot(self, a, b)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one `.safetensors` file with all representations, atomically; `cka_plugin.load` reads it."""
        from cka_plugin.representation.files import save_comparison

        return save_comparison(list(self.representations.values()), path, self.match, self.estimator)

    def __repr__(self) -> str:
        first = self[self.names[0]]
        models = ", ".join(f"{name} ({len(self.layers(name))} layers)" for name in self.names)
        return f"Comparison of {models} on {first.n_examples} examples in {len(first.minibatches)} minibatches"


def _plain(array: Floats) -> Any:
    """Nested lists of floats with None for NaN: JSON has no NaN."""
    if array.ndim == 1:
        return [None if not np.isfinite(value) else float(value) for value in array]
    return [_plain(row) for row in array]
