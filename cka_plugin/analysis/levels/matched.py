"""The layers of one model with their best matches in another: what every level is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from cka_plugin.analysis.difference import difference
from cka_plugin.analysis.grams import cka_sums
from cka_plugin.core import Floats, Sums
from cka_plugin.representation import Content

Columns: TypeAlias = dict[str, list[Any]]  # of a table: one entry a layer with a match


@dataclass(frozen=True)
class Matched:
    """Two models, layer by layer.

    Attributes:
        a: representation of one model, with what lies beside it.
        b: of the other.
        level: of the intervals.
        missing: columns that could not be had -> why; filled by those who make columns.
    """

    a: Content
    b: Content
    level: float
    missing: dict[str, str]

    @cached_property
    def sums(self) -> Sums:
        """Unbiased inner products of their layers."""
        return cka_sums(self.a, self.b)

    @cached_property
    def matrix(self) -> Floats:
        """(layers_a, layers_b) unbiased CKA."""
        return self.sums.cka()

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Positions of each layer of `a` that has a similarity, and of the layer of `b` most like it."""
        return [(i, int(np.nanargmax(row))) for i, row in enumerate(self.matrix) if np.isfinite(row).any()]

    def cells(self, matrix: Floats) -> list[float]:
        """The entries of a matrix like `matrix` at the pairs."""
        return [float(matrix[i, j]) for i, j in self.pairs]

    def why(self, what: str, otherwise: str) -> str:
        """Why something does not lie beside the models: as their run has recorded it, or otherwise."""
        told = [model.options.get("levels", {}).get(what) for model in (self.a, self.b) if what not in model.beside]
        return next((str(reason) for reason in told if reason), otherwise)


def of_similarity(matched: Matched) -> Columns:
    """Best matches, their CKA with its interval, and whether the second best is told from them."""
    low, high = matched.sums.interval(matched.level)
    return {
        "layer": [matched.a.layer_names[i] for i, _ in matched.pairs],
        "match": [matched.b.layer_names[j] for _, j in matched.pairs],
        "tied": [_tied(matched, i, j) for i, j in matched.pairs],
        "cka": matched.cells(matched.matrix),
        "low": matched.cells(low),
        "high": matched.cells(high),
    }


def _tied(matched: Matched, i: int, j: int) -> bool | None:
    row, sums = matched.matrix[i], matched.sums
    others = [k for k in np.flatnonzero(np.isfinite(row)).tolist() if k != j]
    if not others:
        return None
    margin = difference(sums, (i, j), sums, (i, max(others, key=lambda k: row[k])), matched.level).low
    return None if math.isnan(margin) else margin <= 0
