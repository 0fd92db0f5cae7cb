"""Two models by another measure than CKA, for `--measure`: each layer's best match, its interval and its chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cka_plugin.analysis.levels.calibrated import Calibrated
from cka_plugin.analysis.measures.of_pairs import DRAWS
from cka_plugin.comparison import Comparison
from cka_plugin.core import Floats
from cka_plugin.tables import json_safe


@dataclass(frozen=True)
class Measured:
    """A measure of every two layers of two models.

    Attributes:
        measure: its name.
        layers: names of the layers of either.
        matrix: (layers_a, layers_b) it.
        low: lower ends of its intervals; NaN with fewer than 8 minibatches.
        high: upper ends.
        best: each layer's best match, and what the best of as many unrelated layers reaches.
    """

    measure: str
    layers: tuple[list[str], list[str]]
    matrix: Floats
    low: Floats
    high: Floats
    best: Calibrated

    def interval_of(self, a: str, b: str) -> tuple[float, float]:
        """The interval of two layers, by their names."""
        place = self.layers[0].index(a), self.layers[1].index(b)
        return float(self.low[place]), float(self.high[place])

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        a, b = self.best.names
        return json_safe(  # type: ignore[no-any-return]
            {
                "a": a,
                "b": b,
                "measure": self.measure,
                "matrix": self.matrix,
                "low": self.low,
                "high": self.high,
                "best": [
                    {"layer": row.layer, "match": row.match, "value": row.cka, "chance": row.chance}
                    for row in self.best.matches
                ],
                "draws": self.best.chance.draws,
            }
        )


def by_measure(comparison: Comparison, a: str, b: str, measure: str) -> Measured:
    """Two models of a comparison by a measure; 19 draws of chance, each of which costs as much as the measure itself.

    Raises:
        ValueError: no such measure, or minibatches too small for it.
    """
    matrix = comparison.matrix(a, b, measure=measure)
    low, high = comparison.interval(a, b, measure=measure)
    best = comparison.calibrated(a, b, draws=DRAWS, measure=measure)
    layers = comparison[a].layer_names, comparison[b].layer_names
    return Measured(measure, layers, matrix, low, high, best)
