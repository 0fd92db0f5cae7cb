"""Class by class: are its examples placed more differently than others, and does it err differently?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from cka_plugin.analysis.examples.result import PlacedClass
from cka_plugin.analysis.statistics.corrections import Decisions, correct
from cka_plugin.analysis.statistics.paired import mcnemar
from cka_plugin.core import Floats

Right = tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def placed_classes(labels: Sequence[str], mean: Floats, right: Right | None, rules: Decisions) -> list[PlacedClass]:
    """One row a class, the one whose examples are placed most differently first.

    Args:
        labels: (n,) the class of each example.
        mean: (n,) its mean alignment; NaN where it has none.
        right: (n,) of both models, whether they are right on it; None where that is not known.
        rules: two families of tests, one over placement and one over errors, each corrected over the classes.

    Source: Mann & Whitney 1947; McNemar 1947, exact.
    """
    names = np.array(labels)
    known = np.isfinite(mean)
    classes = sorted(set(labels))
    found = []
    for name in classes:
        inside = names == name
        ours, others = mean[inside & known], mean[known & ~inside]
        p = float(stats.mannwhitneyu(ours, others).pvalue) if ours.size and others.size else math.nan
        average = float(ours.mean()) if ours.size else math.nan
        rest = float(others.mean()) if others.size else math.nan
        found.append((int(inside.sum()), average, average - rest, p, *_errors(inside, right)))
    corrected = correct([row[3] for row in found], rules.correction)
    of_errors = correct([row[5] for row in found], rules.correction)
    rows = [
        PlacedClass(name, *row[:4], float(p), bool(p <= rules.alpha), *row[4:], float(q), bool(q <= rules.alpha))
        for name, row, p, q in zip(classes, found, corrected, of_errors, strict=True)
    ]
    return sorted(rows, key=lambda row: (math.isnan(row.difference), row.difference))


def _errors(inside: npt.NDArray[np.bool_], right: Right | None) -> tuple[float, float]:
    """Difference of accuracies on the class, and the exact McNemar p of it."""
    if right is None:
        return math.nan, math.nan
    a, b = right[0][inside], right[1][inside]
    return float(a.mean() - b.mean()), mcnemar(int((a & ~b).sum()), int((b & ~a).sum()))
