"""Representations of very many models, made without a model: layers share one part with all, another with their kin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core import pairs_of
from cka_plugin.representation import Representation
from cka_plugin.representation.minibatch import Minibatch


def many_models(
    count: int, families: int = 8, n: int = 16, minibatches: int = 8, layers: tuple[int, ...] = (4, 6, 9)
) -> Iterator[Representation]:
    """Representations one after the other, so that thousands need no memory.

    Args:
        count: of models.
        families: of models.
        n: examples of a minibatch.
        minibatches: how many.
        layers: how many a model has, one of these.
    """
    generator = np.random.default_rng(0)
    pairs = pairs_of(n)
    common = generator.standard_normal((minibatches, 1, pairs)).astype(np.float32)
    own = generator.standard_normal((families, minibatches, 1, pairs)).astype(np.float32)
    examples = n * minibatches
    for number in range(count):
        family, depth = number % families, layers[number % len(layers)]
        vectors = common + own[family] + generator.standard_normal((minibatches, depth, pairs), dtype=np.float32)
        yield Representation(
            name=f"model{number:04}",
            layers=[Layer(f"blocks.{i}", f"blocks.{i}", "block", i / (depth - 1)) for i in range(depth)],
            minibatches=[
                Minibatch(vectors[b], np.ones((depth, n), np.float32), np.arange(b * n, (b + 1) * n), b, 0)
                for b in range(minibatches)
            ],
            example_ids=list(range(examples)),
            fingerprints=np.arange(examples, dtype=np.uint64),
            ranks=np.arange(examples),
            exponents=np.zeros(depth, dtype=np.int64),
            logits=generator.standard_normal((examples, 5), dtype=np.float32),
            labels=np.arange(examples) % 5,
            options={
                "kernel": "linear",
                "bandwidth": 0.5,
                "estimator": "unbiased",
                "seed": 0,
                "passes": 1,
                "batch_size": n,
                "model": {"family": f"family{family}", "parameters": int(10 ** generator.uniform(6, 8))},
            },
        )
