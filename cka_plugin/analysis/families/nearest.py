"""The models most similar to one, with how sure each similarity is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.core import Sums
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import Bar, bars_image
from cka_plugin.tables import Result, text_table
from cka_plugin.wording import for_terminal, interval


@dataclass(frozen=True)
class Neighbour:
    """One model near another.

    Attributes:
        name: of the model.
        similarity: mean CKA of layers at equal depth, as in `Comparison.models`.
        low: end of its jackknife interval over minibatches; NaN where there are fewer than 8.
        high: the other end.
        family: of the model; None where it was not recorded.
        parameters: likewise.
        accuracy: on the labels; None without labels that are classes of its head.
    """

    name: str
    similarity: float
    low: float
    high: float
    family: str | None
    parameters: int | None
    accuracy: float | None


@dataclass(frozen=True, repr=False)
class Nearest(Result):
    """The models most similar to one, the most similar first; made by `Comparison.nearest`.

    Attributes:
        name: of the model.
        neighbours: one row each.
        models: how many others there are.
    """

    name: str
    neighbours: list[Neighbour]
    models: int

    def table_rows(self) -> tuple[Sequence[Any], type]:
        return self.neighbours, Neighbour

    def _rows(self) -> list[list[Any]]:
        return [
            [
                one.name,
                one.similarity,
                interval(one.low, one.high),
                one.family or "-",
                "-" if one.parameters is None else f"{one.parameters:,}",
                "-" if one.accuracy is None else f"{one.accuracy:.1%}",
            ]
            for one in self.neighbours
        ]

    _header = ("model", "similarity", "95% interval", "family", "parameters", "accuracy")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        picture = bars_image([Bar(one.name, one.similarity) for one in self.neighbours], "mean CKA at equal depth")
        return card(f"Most similar to {self.name}, of {self.models} models", [], self._header, self._rows(), picture)

    def __repr__(self) -> str:
        table = text_table(self._rows(), self._header, right=(4, 5))
        return f"Most similar to {for_terminal(self.name)}, of {self.models} models:\n{table}"


def mean_interval(
    sums: Sums, depths: tuple[npt.ArrayLike, npt.ArrayLike], level: float = 0.95
) -> tuple[float, float, float]:
    """The mean CKA of layers at equal depth of two models, and its jackknife interval over minibatches.

    One minibatch is left out of all layers at a time, so that what their similarities share is counted once.

    Args:
        sums: of the two models.
        depths: of the layers of each.
        level: of the interval.

    Returns:
        Mean, low, high; the ends NaN where there are fewer than 8 minibatches, or no similarity.
    """
    from scipy.stats import t

    from cka_plugin.analysis.layer_pairs import mean_at_equal_depth
    from cka_plugin.core import MIN_MINIBATCHES

    mean = mean_at_equal_depth(sums.cka(), *depths)
    count = int(sums.first_pass.sum())
    if count < MIN_MINIBATCHES:
        return mean, np.nan, np.nan
    left_out = np.array([mean_at_equal_depth(one, *depths) for one in sums.leave_one_out()])
    error = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum())
    half = float(t.ppf(0.5 + level / 2, count - 1) * error)
    return mean, mean - half, mean + half
