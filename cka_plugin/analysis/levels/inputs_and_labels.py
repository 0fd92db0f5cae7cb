"""What the data alone make alike: CKA with inputs and labels, and the part of a CKA that lies along them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.grams import GramVectors, cka_sums
from cka_plugin.analysis.levels.matched import Columns, Matched
from cka_plugin.analysis.levels.pseudo_layers import label_layer
from cka_plugin.representation import INPUT

NO_INPUT = "the file holds no inputs: give the data (data=, --data), which are read again"
NO_LABELS = "the data had no labels"
SAME_LABELS = "in no minibatch do labels tell some examples apart and others not"
_DEPENDENT = 1e-5  # of the largest eigenvalue: directions that rounding alone tells apart


def of_data(matched: Matched) -> Columns:
    """CKA of both layers of each pair with inputs and labels, and the part of their CKA along these."""
    layers = _known(matched)
    if not layers:
        matched.missing["along"] = "neither inputs nor labels are known"
        return {}
    of_a, of_b = (
        np.stack([cka_sums(model, layer).cka()[:, 0] for layer in layers.values()], axis=1)
        for model in (matched.a, matched.b)
    )
    between = np.array([[cka_sums(one, other).cka()[0, 0] for other in layers.values()] for one in layers.values()])
    columns: Columns = {}
    for place, name in enumerate(layers):
        columns[name] = [float(of_a[i, place]) for i, _ in matched.pairs]
        columns[f"{name}_of_match"] = [float(of_b[j, place]) for _, j in matched.pairs]
    columns["along_data"] = [along(of_a[i], of_b[j], between) for i, j in matched.pairs]
    return columns


def _known(matched: Matched) -> dict[str, GramVectors]:
    """Inputs and labels as layers, those that have a similarity."""
    a, b = matched.a, matched.b
    layers: dict[str, GramVectors] = {}
    if (inputs := a.beside.get(INPUT) or b.beside.get(INPUT)) is not None:
        layers["input"] = inputs
    else:
        matched.missing["input"] = matched.why(INPUT, NO_INPUT)
    if a.labels is None:
        matched.missing["labels"] = NO_LABELS
        return layers
    labels = label_layer(a.labels, a)
    if np.isfinite(cka_sums(labels).cka()).all():
        layers["labels"] = labels
    else:
        matched.missing["labels"] = SAME_LABELS
    return layers


def along(x: npt.ArrayLike, y: npt.ArrayLike, between: npt.ArrayLike) -> float:
    """The part of the cosine of two unit vectors that lies in the span of some directions: <Px, Py>.

    Args:
        x: (k,) cosines of one vector with the k directions.
        y: (k,) of the other.
        between: (k, k) cosines of the directions with one another.

    Example:
        >>> along([0.6], [0.5], [[1.0]]), round(along([0.6, 0.6], [0.5, 0.5], [[1.0, 1.0], [1.0, 1.0]]), 6)
        (0.3, 0.3)
    """
    inverse = np.linalg.pinv(np.asarray(between, dtype=np.float64), rcond=_DEPENDENT, hermitian=True)
    return float(np.asarray(x) @ inverse @ np.asarray(y))
