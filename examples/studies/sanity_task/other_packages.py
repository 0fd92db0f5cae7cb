"""What the study takes from other packages: CCA, SVCCA and PWCCA by cca-zoo, Procrustes by SciPy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from cca_zoo.linear import CCA
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA

Found = dict[str, dict[tuple[str, str], np.ndarray]]  # measure -> pair of networks -> similarity of every two layers
Layer = tuple[np.ndarray, np.ndarray, np.ndarray, int]
KEPT = 0.99  # of the variance, by SVCCA


@torch.no_grad()
def others(nets: dict[str, torch.nn.Module], x: torch.Tensor, pooling: str) -> Found:
    """All of them, of every two layers of every two networks.

    A layer is taken as its scores on principal components, on which these depend as on its activations: Procrustes does
    not change under rotations, CCA under no invertible map, so that it is given scores of equal variance, with which
    its linear algebra is at ease; the weights of PWCCA are taken from the activations themselves.
    """
    layers: dict[str, list[Layer]] = {name: [] for name in nets}
    for name, net in nets.items():
        y = x
        for module in net.blocks if pooling == "mean" else [*net.blocks, net.pool]:
            y = module(y)
            flat = (y.mean((2, 3)) if pooling == "mean" and y.ndim == 4 else y.flatten(1)).double().numpy()
            flat = flat - flat.mean(0)
            parts = PCA().fit(flat)
            sizes = parts.singular_values_[parts.singular_values_ > 1e-5 * parts.singular_values_[0]]
            scores = parts.transform(flat)[:, : len(sizes)]
            few = int(np.searchsorted(np.cumsum(parts.explained_variance_ratio_), KEPT)) + 1
            layers[name].append((flat, scores / np.linalg.norm(scores), scores / sizes, few))
    found: Found = {}
    for a, b in combinations(nets, 2):
        for i, left in enumerate(layers[a]):
            for j, right in enumerate(layers[b]):
                for measure, value in between(left, right).items():
                    empty = np.empty((len(layers[a]), len(layers[b])))
                    found.setdefault(measure, {}).setdefault((a, b), empty)[i, j] = value
    return found


def between(left: Layer, right: Layer) -> dict[str, float]:
    """Two layers: activations, scores of unit norm, scores of equal variance, and how many of them SVCCA keeps."""
    variates, rho = canonical(left[2], right[2])
    _, rho_of_few = canonical(left[2][:, : left[3]], right[2][:, : right[3]])
    weights = [np.abs(z.T @ flat).sum(1) for z, flat in zip(variates, (left[0], right[0]), strict=True)]
    most = max(left[1].shape[1], right[1].shape[1])
    wide = [np.pad(scores, ((0, 0), (0, most - scores.shape[1]))) for scores in (left[1], right[1])]
    return {
        "CCA, mean ρ": float(rho.mean()),
        "CCA, mean ρ²": float((rho**2).mean()),
        "SVCCA, mean ρ": float(rho_of_few.mean()),
        "SVCCA, mean ρ²": float((rho_of_few**2).mean()),
        "PWCCA": float(np.mean([np.average(rho, weights=w) for w in weights])),  # of both directions, as in the paper
        "Procrustes": float(orthogonal_procrustes(*wide)[1]),  # under the best rotation: 1 for the same
    }


def canonical(x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Canonical variates of unit length, and their correlations."""
    fitted = CCA(n_components=min(x.shape[1], y.shape[1])).fit([x, y])
    variates = [z / np.linalg.norm(z, axis=0) for z in fitted.transform([x, y])]
    return variates, np.clip((variates[0] * variates[1]).sum(0), 0, 1)
