"""CKA to the inputs and to the labels."""

from __future__ import annotations

import numpy as np
import pytest

from cka_plugin.analysis.grams import cka_sums
from cka_plugin.analysis.levels.pseudo_layers import input_layer, label_layer
from tests.support.planted import fresh, represent
from tests.support.reference import minibatch_cka


def test_cka_to_the_inputs_and_to_the_labels_is_that_of_pixels_and_of_one_hot_classes() -> None:
    rng = np.random.default_rng(17)
    labels = rng.integers(0, 4, size=96)
    images = rng.normal(size=(96, 2, 5, 5)) + labels[:, None, None, None]
    layer = images.reshape(96, -1) @ rng.normal(size=(50, 30))
    made = represent([layer], 32)
    chunks = [np.arange(start, start + 32) for start in (0, 32, 64)]
    exact = layer.astype(np.float32)
    to_inputs = cka_sums(made, input_layer(images, made)).cka()
    to_labels = cka_sums(made, label_layer([f"class {label}" for label in labels], made)).cka()
    assert to_inputs[0, 0] == pytest.approx(
        minibatch_cka([exact[c] for c in chunks], [images.reshape(96, -1)[c] for c in chunks]), abs=1e-6
    )
    assert to_labels[0, 0] == pytest.approx(
        minibatch_cka([exact[c] for c in chunks], [np.eye(4)[labels[c]] for c in chunks]), abs=1e-6
    )


def test_pseudo_layers_need_one_row_an_example() -> None:
    made = represent([fresh(np.random.default_rng(18), 64, 5)], 16)
    with pytest.raises(ValueError, match="60 inputs for a representation of 64"):
        input_layer(np.zeros((60, 3)), made)
    with pytest.raises(ValueError, match="60 labels for a representation of 64"):
        label_layer([0] * 60, made)
    with pytest.raises(ValueError, match=r"labels of shape \(64, 2\)"):
        label_layer(np.zeros((64, 2), dtype=int), made)
