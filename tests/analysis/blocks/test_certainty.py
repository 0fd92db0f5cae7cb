"""Block structure is inconclusive where the minibatches at hand cannot tell, and what would settle it does."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.analysis.blocks.certainty import unless_inconclusive
from cka_plugin.analysis.blocks.detector import block_structure
from cka_plugin.analysis.blocks.result import BlockStructure
from tests.support.nets import ConvNet, images
from tests.support.planted import MadeRepresentation, fresh, planted, represent


def judged(made: MadeRepresentation) -> BlockStructure:
    return unless_inconclusive(block_structure(made), made)


def test_a_planted_block_on_four_minibatches_is_inconclusive_and_on_eight_strong() -> None:
    made = planted(np.random.default_rng(0), layers=16, examples=512)
    few, enough = judged(made.represent(128)), judged(made.represent(64))
    assert few.verdict == "inconclusive"
    assert few.seen == "strong"
    (sentence,) = few.inconclusive
    assert sentence == "4 minibatches where it takes 8: give more examples, or smaller minibatches."
    assert repr(few).startswith(f"Block structure: inconclusive. {sentence} As far as these show, strong: Layers ")
    assert few.blocks[0].layers == enough.blocks[0].layers
    assert (enough.verdict, enough.seen, enough.inconclusive) == ("strong", "", [])
    assert json.loads(json.dumps(few.to_dict(), allow_nan=False))["inconclusive"] == [sentence]


def test_dominant_examples_alone_in_their_minibatches_are_inconclusive_until_two_meet() -> None:
    rng = np.random.default_rng(1)
    shared = np.zeros((512, 1))
    shared[::32] = 400 * rng.choice([0.8, 1.0, 1.2], size=(16, 1))  # one example in every minibatch of 32
    layers = [fresh(rng, 512, 30) for _ in range(12)]
    for layer in layers[3:9]:
        layer += shared @ fresh(rng, 1, 30)
    few, enough = judged(represent(layers, 32)), judged(represent(layers, 64))
    assert few.verdict == "inconclusive"
    assert few.seen == "none"
    (sentence,) = few.inconclusive
    assert sentence.startswith("Most of the variance of 6 of 12 layers lies in examples that are alone in their")
    assert sentence.endswith("where CKA does not see it: give larger minibatches.")
    assert enough.verdict == "strong"
    assert [block.layers[0] for block in enough.blocks] == ["blocks.3"]


def test_passes_over_the_same_examples_do_not_count() -> None:
    made = planted(np.random.default_rng(0), layers=16, examples=256)
    assert judged(made.represent(64, passes=3)).verdict == "inconclusive"


def test_a_comparison_and_its_summary_say_so() -> None:
    comparison = cka.compare({"a": ConvNet(), "b": ConvNet(seed=1)}, data=images(64), batch_size=16, progress=False)
    found = comparison.block_structure("a")
    assert found.verdict == "inconclusive"
    assert found.seen in ("none", "weak", "strong")
    summary = comparison.summary()
    assert {row.block_verdict for row in summary.models} == {"inconclusive"}
    assert all(math.isnan(row.block_share) for row in summary.models)
    assert "(block_share: inconclusive for a, b" in repr(summary)


@pytest.mark.parametrize("minibatches", [8, 9])
def test_eight_minibatches_are_enough(minibatches: int) -> None:
    comparison = cka.compare({"a": ConvNet()}, data=images(12 * minibatches), batch_size=12, progress=False)
    assert comparison.block_structure("a").verdict in ("none", "weak", "strong")
