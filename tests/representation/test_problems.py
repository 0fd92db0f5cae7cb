"""A layer whose similarity is undefined is named with the reason."""

from __future__ import annotations

import numpy as np
import torch

from cka_plugin.adapters.base import Layer
from cka_plugin.core import gram, pack, u_center
from cka_plugin.representation import Minibatch, find_problems


def minibatch(index: int, *activations: np.ndarray) -> Minibatch:
    parts = [u_center(gram(torch.from_numpy(x))[0]) for x in activations]
    vectors = np.stack([pack(a).numpy() for a, _ in parts])
    diagonals = np.stack([diagonal.numpy() for _, diagonal in parts])
    return Minibatch(vectors, diagonals, np.arange(len(activations[0])), index, 0)


def test_each_kind_of_undefined_similarity_has_its_reason() -> None:
    rng = np.random.default_rng(0)
    layers = [Layer(name, name, "module", 0.5) for name in ("alive", "constant", "alike", "broken")]
    broken = rng.normal(size=(8, 3))
    made = [
        minibatch(5, rng.normal(size=(8, 3)), np.ones((8, 3)), np.eye(8), broken),
        minibatch(6, rng.normal(size=(8, 3)), np.ones((8, 3)), np.eye(8), broken * np.nan),
    ]
    found = find_problems(layers, made)
    assert list(found) == ["constant", "alike", "broken"]
    assert "is constant" in found["constant"]
    assert "no structure" in found["alike"]
    assert "not finite (NaN or infinity), first in minibatch 6" in found["broken"]
    assert find_problems(layers, []) == {}
