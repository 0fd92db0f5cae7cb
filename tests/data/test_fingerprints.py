"""Equal content has equal fingerprints, whatever its dtype and container; other content has others."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from cka_plugin.data.fingerprints import fingerprints_of
from cka_plugin.data.items import of_items, of_minibatch

X = torch.arange(24.0).reshape(4, 6)


def test_equal_numbers_have_equal_fingerprints() -> None:
    right = fingerprints_of(of_minibatch(X)).tolist()
    for same in (X.double(), X.half(), X.bfloat16(), X.byte(), X.numpy(), {"x": X}, (X,)):
        assert fingerprints_of(of_minibatch(same)).tolist() == right
    assert fingerprints_of(of_items(X.tolist())).tolist() == right
    ints = fingerprints_of(of_minibatch(X.long())).tolist()
    assert fingerprints_of(of_minibatch(X.int())).tolist() == ints


def test_what_float32_does_not_hold_is_other_content() -> None:
    fine = X.double() + 1e-12
    assert not set(fingerprints_of(of_minibatch(fine)).tolist()) & set(fingerprints_of(of_minibatch(X)).tolist())


def test_several_tensors_are_told_apart_by_their_names() -> None:
    ab, ba = ({"a": X, "b": X + 1}, {"a": X + 1, "b": X})
    assert fingerprints_of(of_minibatch(ab)).tolist() != fingerprints_of(of_minibatch(ba)).tolist()
    turned = {"b": X + 1, "a": X}
    assert fingerprints_of(of_minibatch(ab)).tolist() == fingerprints_of(of_minibatch(turned)).tolist()


def test_arrays_of_pixels_are_their_pictures() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in pixels]
    assert fingerprints_of(of_minibatch(pixels)).tolist() == fingerprints_of(of_items(pictures)).tolist()
