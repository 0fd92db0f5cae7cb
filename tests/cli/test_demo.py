"""The sentences of the demo, on made results: what was found, with the counts it rests on."""

from __future__ import annotations

import numpy as np

import cka_plugin as cka
from cka_plugin.analysis.blocks.detector import block_structure
from cka_plugin.cli.demo_digits import block_sentence, error_sentence
from tests.support.planted import planted, smooth_drift


def test_a_class_that_differs_is_named_with_its_counts() -> None:
    labels = np.repeat([0, 1], 40)
    vit = labels.copy()
    vit[:20] = 1
    found = error_sentence(cka.compare_errors(labels, vit, labels, ["cat", "dog"], names=("cnn", "vit")))
    assert found.startswith("cnn and vit: cat (100.0% and 50.0% of 40 examples, p = ")
    assert "cnn alone is right on 20, vit alone on 0" in found


def test_that_no_class_differs_is_said_with_the_counts() -> None:
    labels = np.repeat([0, 1], 40)
    vit = labels.copy()
    vit[0] = 1
    found = error_sentence(cka.compare_errors(labels, vit, labels, names=("cnn", "vit")))
    assert found.startswith(
        "cnn and vit: none of 2. Of 80 examples cnn alone is right on 1, vit alone on 0 (p = 1.000)"
    )


def test_the_block_sentence_has_verdict_place_and_shares() -> None:
    rng = np.random.default_rng(0)
    strong = block_sentence(block_structure(planted(rng, 12, [(4, 9)], width=64, share=0.7).represent(64)))
    assert strong.startswith("strong. Layers ")
    none = block_sentence(block_structure(smooth_drift(rng, 12).represent(64)))
    assert none.startswith("none. No run of 3 or more layers is alike")
    assert "of a layer's variance (minibatches of 64)." in none
