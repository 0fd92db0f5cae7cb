"""Similarity above chance: what is left of it when width, depth and the search over layers are taken out.

Source: Groeger, Wen & Brbic 2026 (arXiv 2602.14486): s_cal = (s - tau)/(1 - tau), tau a high quantile of the null made
by permuting the examples of one side; for the best of many layers, of the maximum over them in the same permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cka_plugin.analysis.levels.chance import LEVEL, ChanceLevel
from cka_plugin.core import Floats
from cka_plugin.tables import Result, short, text_table
from cka_plugin.wording import for_terminal


@dataclass(frozen=True)
class CalibratedMatch:
    """The best match of one layer, beside what the best of as many unrelated layers would reach.

    Attributes:
        layer: of `a`.
        match: the most similar layer of `b`; None where the layer has no similarity.
        cka: their similarity: CKA, or another measure where it was asked for.
        chance: the 95% quantile of the largest similarity of this layer with any layer of `b`, by chance.
        calibrated: (cka - chance) / (1 - chance); below 0 where chance would reach more.
        p: share of draws whose largest similarity reaches `cka`, (1 + count) / (draws + 1).
    """

    layer: str
    match: str | None
    cka: float
    chance: float
    calibrated: float
    p: float


@dataclass(frozen=True, repr=False)
class Calibrated(Result):
    """Similarity above chance, cell by cell and for the best match of each layer; made by `Comparison.calibrated`.

    The null is independence, which nearly any two networks on the same data reject: a calibrated score well above 0
    says that the layers have something in common, not that it was learned.

    Attributes:
        names: of the two models.
        matrix: (layers_a, layers_b) (s - tau)/(1 - tau), tau cell by cell; 1: the same, 0: as high as chance reaches in
            one draw of 20, below 0 where it is lower than that.
        p: (layers_a, layers_b), cell by cell, for one cell that was chosen before looking.
        matches: one row a layer of `a`: its best match, corrected for the search over the layers of `b`.
        chance: the level of chance itself.
    """

    names: tuple[str, str]
    matrix: Floats
    p: Floats
    matches: list[CalibratedMatch]
    chance: ChanceLevel

    def table_rows(self) -> tuple[Sequence[Any], type]:
        return self.matches, CalibratedMatch

    def __repr__(self) -> str:
        a, b = map(for_terminal, self.names)
        rows = [
            (
                for_terminal(row.layer),
                "-" if row.match is None else for_terminal(row.match),
                row.cka,
                row.chance,
                row.calibrated,
                row.p,
            )
            for row in self.matches
        ]
        table = text_table(rows, [f"layer of {a}", f"best of {b}", self.chance.what, "by chance", "calibrated", "p"])
        smallest = short(1 / (self.chance.draws + 1))
        return (
            f"{table}\nby chance: what the best of as many layers reaches in one draw of 20, with the examples of one "
            f"model permuted; smallest p with {self.chance.draws} draws: {smallest}"
        )


def calibrated(chance: ChanceLevel, names: tuple[str, str], layers: tuple[Sequence[str], Sequence[str]]) -> Calibrated:
    """The similarity above chance of the layers of two models.

    Args:
        chance: what `chance_level` gives for them: one permutation in each draw for all layers together.
        names: of the two models.
        layers: names of the layers of either.

    Raises:
        ValueError: fewer than 19 draws, of which the 95% quantile would be the largest.
    """
    if chance.draws < round(1 / (1 - LEVEL)) - 1:
        raise ValueError(f"draws {chance.draws}: a level of {LEVEL} takes at least {round(1 / (1 - LEVEL)) - 1}")
    similarity = chance.similarity
    rows = []
    for layer, values, tau, p in zip(layers[0], similarity, chance.best_level, chance.best_p, strict=True):
        best = int(np.where(np.isfinite(values), values, -np.inf).argmax())
        alive = bool(np.isfinite(values[best]))
        value = float(values[best])
        match = layers[1][best] if alive else None
        rows.append(CalibratedMatch(layer, match, value, float(tau), float(above(value, tau)), float(p)))
    return Calibrated(names, np.asarray(above(similarity, chance.level)), chance.p, rows, chance)


def above(similarity: Any, tau: Any) -> Any:
    """(s - tau)/(1 - tau); not cut at 0, so that what lies below chance shows.

    Example:
        >>> above(0.6, 0.2), above(0.1, 0.2) < 0
        (0.49999999999999994, True)
    """
    return (similarity - tau) / (1 - tau)
