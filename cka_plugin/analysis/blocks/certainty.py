"""Where the examples at hand do not tell whether a network has the block structure, and what would settle it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cka_plugin.analysis.blocks.result import BlockStructure
from cka_plugin.analysis.blocks.runs import shortest_run
from cka_plugin.analysis.components.alone import alone_in_minibatches
from cka_plugin.analysis.grams import GramVectors
from cka_plugin.core import MIN_MINIBATCHES


def unless_inconclusive(found: BlockStructure, model: GramVectors) -> BlockStructure:
    """The same, or with the verdict `inconclusive` where the model's minibatches cannot carry the one found.

    Args:
        found: what the evidence at hand says.
        model: the representation that it is of.

    Example:
        >>> import numpy as np
        >>> from cka_plugin.analysis.blocks.detector import find_block_structure
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(64, 5))
        >>> few = pack_layers([x, x], [np.arange(32), np.arange(32, 64)])
        >>> unless_inconclusive(find_block_structure(np.ones((2, 2))), few).verdict
        'inconclusive'
    """
    doubts = [*_few_minibatches(model), *_alone(found, model)]
    if not doubts:
        return found
    reason = f"{' '.join(doubts)} As far as these show, {found.verdict}: {found.reason}"
    return replace(found, verdict="inconclusive", seen=found.verdict, inconclusive=doubts, reason=reason)


def _few_minibatches(model: GramVectors) -> Iterator[str]:
    count = sum(number == min(model.passes) for number in model.passes)
    if count < MIN_MINIBATCHES:
        yield (
            f"{count} minibatch{'es' * (count != 1)} where it takes {MIN_MINIBATCHES}: give more examples, or smaller "
            "minibatches."
        )


def _alone(found: BlockStructure, model: GramVectors) -> Iterator[str]:
    """As many layers as make a run are made by examples that CKA does not see."""
    hidden = int(alone_in_minibatches(model).sum())
    if hidden >= shortest_run(len(found.layers)):
        yield (
            f"Most of the variance of {hidden} of {len(found.layers)} layers lies in examples that are alone in their "
            "minibatches, where CKA does not see it: give larger minibatches."
        )
