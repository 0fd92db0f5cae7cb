"""Examples in minibatches, and the components of activations by a float64 SVD."""

from __future__ import annotations

import numpy as np


def minibatches(examples: int, size: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + size, examples)) for start in range(0, examples, size)]


def svd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return u, s
