"""Layers whose similarity is undefined, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core import DEGENERATE, self_products
from cka_plugin.representation.minibatch import Minibatch
from cka_plugin.storage.vectors import release


def find_problems(layers: Sequence[Layer], minibatches: Sequence[Minibatch]) -> dict[str, str]:
    """Layers whose similarity is undefined, with the reason."""
    problems: dict[str, str] = {}
    if not minibatches:
        return problems
    norms = np.zeros(len(layers))
    scales = np.zeros(len(layers))
    broken: dict[int, int] = {}
    for minibatch in minibatches:
        finite = np.isfinite(minibatch.diagonals).all(axis=1)
        own = self_products(minibatch.vectors, minibatch.diagonals)
        for place in np.flatnonzero(~(finite & np.isfinite(own))):
            broken.setdefault(int(place), minibatch.index)
        release(minibatch.vectors)
        norms += own
        scales += np.square(minibatch.diagonals.astype(np.float64)).sum(axis=1)
    for position, layer in enumerate(layers):
        if position in broken:
            problems[layer.name] = (
                f"its activations are not finite (NaN or infinity), first in minibatch {broken[position]}"
            )
        elif scales[position] == 0.0:
            problems[layer.name] = "it is constant: every example gives the same activations"
        elif norms[position] <= DEGENERATE * scales[position]:
            problems[layer.name] = "it has no structure: every pair of examples is equally similar"
    return problems
