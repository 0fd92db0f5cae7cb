"""Mutual nearest neighbours: do two layers place the same examples beside one another? A local measure."""

from __future__ import annotations

import torch
from torch import Tensor

from cka_plugin.analysis.measures.gram_matrices import GramMatrices

NEIGHBOURS = 10


def mutual_knn(a: GramMatrices, b: GramMatrices, *, k: int = NEIGHBOURS, above_chance: bool = False) -> Tensor:
    """Mean share of the k nearest neighbours of an example, within the minibatch, that two layers have in common.

    m_i = |N_k(i; X) ∩ N_k(i; Y)| / k, averaged over examples. Unrelated layers reach c = k/(n - 1) by chance, so the
    value depends on n; `above_chance` gives (m - c)/(1 - c), 0 by chance and 1 for the same neighbours. Of examples
    that are equally near the first count.

    Args:
        a: of one model.
        b: of the other.
        k: how many neighbours, fewer than n - 1.
        above_chance: take the level of chance out.

    Returns:
        (layers_a, layers_b).

    Source: Huh, Cheung, Wang & Isola 2024, "The platonic representation hypothesis" (arXiv 2405.07987).
    """
    shared = torch.einsum("xij,yij->xy", _neighbours(a, k), _neighbours(b, k)) / (k * a.n)
    chance = k / (a.n - 1)
    return (shared - chance) / (1 - chance) if above_chance else shared


def too_small_for_neighbours(n: int, *, k: int = NEIGHBOURS, above_chance: bool = False) -> str:
    """Why minibatches of n examples have no such value; empty where they have."""
    if k < 1:
        raise ValueError(f"k {k}: at least one neighbour is needed")
    return "" if k < n - 1 else f"{k} nearest neighbours need minibatches of more than {k + 1} examples"


def _neighbours(grams: GramMatrices, k: int) -> Tensor:
    """(layers, n, n) 1 where j is one of the k nearest of i, else 0."""
    distances = grams.ranked_distances.clone()
    distances.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    nearest = distances.argsort(dim=-1, stable=True)[..., :k]
    return torch.zeros_like(distances).scatter_(-1, nearest, 1.0)
