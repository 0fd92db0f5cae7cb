"""Every pair of layers of two models: as a table, and drawn together into one number at equal relative depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cka_plugin.adapters.base import Layer
from cka_plugin.core import Floats

if TYPE_CHECKING:
    import pandas as pd


def frame_of_pairs(
    matrix: Floats,
    interval: tuple[Floats, Floats],
    names: tuple[str, str],
    layers: tuple[Sequence[Layer], Sequence[Layer]],
) -> pd.DataFrame:
    """One row a pair of layers: both models, layers, paths and depths, `cka`, `low`, `high`.

    Args:
        matrix: (layers_a, layers_b) CKA.
        interval: (low, high), each like `matrix`.
        names: of the two models.
        layers: of the two models.
    """
    import pandas as pd

    columns: dict[str, object] = {}
    for side, name, of_model, places in zip("ab", names, layers, np.indices(matrix.shape), strict=True):
        chosen = [of_model[place] for place in places.ravel().tolist()]
        columns[f"model_{side}"] = name
        columns[f"layer_{side}"] = [layer.name for layer in chosen]
        columns[f"path_{side}"] = [layer.path for layer in chosen]
        columns[f"depth_{side}"] = [layer.depth for layer in chosen]
    low, high = interval
    return pd.DataFrame({**columns, "cka": matrix.ravel(), "low": low.ravel(), "high": high.ravel()})


def frame_of_matrix(
    matrix: Floats, names: tuple[str, str], layers: tuple[Sequence[str], Sequence[str]]
) -> pd.DataFrame:
    """The matrix with the names of the layers on both axes, and the axes named after the models."""
    import pandas as pd

    rows, columns = (pd.Index(of_model, name=name) for of_model, name in zip(layers, names, strict=True))
    return pd.DataFrame(matrix, index=rows, columns=columns)


def mean_at_equal_depth(matrix: Floats, depths_a: npt.ArrayLike, depths_b: npt.ArrayLike) -> float:
    """The mean similarity of each layer with the layer of the other model whose depth is nearest, both ways averaged.

    Args:
        matrix: (layers_a, layers_b); what is not finite is left out, and where nothing is left the mean is NaN.
        depths_a: (layers_a,) relative depths in [0, 1].
        depths_b: (layers_b,) likewise.

    Example:
        >>> mean_at_equal_depth(np.array([[1.0, 0.2], [0.3, 0.5]]), [0, 1], [0, 1])
        0.75
    """
    gap = np.abs(np.subtract.outer(np.asarray(depths_a), np.asarray(depths_b)))
    forward = matrix[np.arange(len(gap)), gap.argmin(1)]
    backward = matrix[gap.argmin(0), np.arange(gap.shape[1])]
    means = [np.nanmean(values) if np.isfinite(values).any() else np.nan for values in (forward, backward)]
    return float(np.mean(means))


def similarity_of_models(matrix: Callable[[int, int], Floats], depths: Sequence[npt.ArrayLike]) -> Floats:
    """(models, models) `mean_at_equal_depth` of every two models, with 1 on the diagonal.

    Args:
        matrix: of the positions of two models, the similarity of their layers.
        depths: one a model, (layers,) relative depths.
    """
    table = np.eye(len(depths))
    for i in range(len(depths)):
        for j in range(i + 1, len(depths)):
            table[i, j] = table[j, i] = mean_at_equal_depth(matrix(i, j), depths[i], depths[j])
    return table
