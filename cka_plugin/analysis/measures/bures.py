"""Normalised Bures similarity: the cosine of the angular Procrustes distance."""

from __future__ import annotations

import torch
from torch import Tensor

from cka_plugin.analysis.measures.gram_matrices import GramMatrices


def bures(a: GramMatrices, b: GramMatrices) -> Tensor:
    """Σ √eig(K'^½ L' K'^½) / √(tr K' tr L'): how well a rotation carries one layer's activations into the other's.

    Its arccos is the angular Procrustes distance. It equals the nuclear norm of XᵀY over ‖X‖ ‖Y‖, and is inflated where
    there are more features than examples, like biased CKA: unrelated layers come near 1. Each layer is decomposed once;
    a pair takes the singular values of an (n, n) matrix: on one core, a minibatch of 20 by 20 layers takes 0.4 s at
    n = 64 and 11 s at 256.

    Args:
        a: of one model.
        b: of the other.

    Returns:
        (layers_a, layers_b); NaN for a constant layer.

    Source: Williams, Kunz, Kornblith & Linderman 2021, "Generalized shape metrics on neural representations".
    """
    left, right = _normalised(a.roots), _normalised(b.roots)
    directions = [root[:, root.ne(0).any(0)] for root in left]  # without those that hold nothing
    return torch.stack([torch.linalg.svdvals(root.mT @ right).sum(-1) for root in directions])


def _normalised(roots: Tensor) -> Tensor:
    return roots / torch.linalg.matrix_norm(roots, keepdim=True)
