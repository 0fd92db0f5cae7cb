"""Representational similarity analysis: are the distances between examples ordered alike in two layers?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cka_plugin.analysis.measures.gram_matrices import GramMatrices

CORRELATIONS = ("spearman", "pearson")


def rsa(a: GramMatrices, b: GramMatrices, *, correlation: str = "spearman") -> Tensor:
    """Correlation, over all pairs of examples of a minibatch, of their distances √D_ij in two layers.

    In expectation it does not depend on n. Unrelated layers give 0.

    Args:
        a: of one model.
        b: of the other.
        correlation: `spearman` (of ranks, ties at their mean rank) or `pearson`.

    Returns:
        (layers_a, layers_b); NaN where all distances of a layer are equal.

    Raises:
        ValueError: an unknown correlation.

    Source: Kriegeskorte, Mur & Bandettini 2008, "Representational similarity analysis".
    """
    if correlation not in CORRELATIONS:
        raise ValueError(f"correlation {correlation!r}: expected one of {', '.join(CORRELATIONS)}")
    return _standardised(a, correlation) @ _standardised(b, correlation).mT


def _standardised(grams: GramMatrices, correlation: str) -> Tensor:
    """(layers, pairs) distances, or their ranks, with mean 0 and norm 1."""
    rows, columns = torch.triu_indices(grams.n, grams.n, offset=1)
    if correlation == "spearman":
        from scipy.stats import rankdata

        ranks = rankdata(grams.ranked_distances[:, rows, columns].numpy(), axis=1)
        values = torch.from_numpy(np.asarray(ranks, dtype=np.float64))
    else:
        values = grams.distances[:, rows, columns].sqrt()
    flat = values.amax(-1, keepdim=True) == values.amin(-1, keepdim=True)
    values = values - values.mean(-1, keepdim=True)
    return torch.where(flat, torch.nan, values / values.norm(dim=-1, keepdim=True))
