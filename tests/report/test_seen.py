"""Images and texts of examples, whatever they are in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cka_plugin.report.seen import TEXT, seen


@pytest.mark.parametrize(
    "container", [torch.from_numpy, lambda array: array, lambda array: {"image": array, "label": 3}]
)
def test_numbers_are_images_stretched_from_their_lowest_to_their_highest_value(container) -> None:
    gradient = np.linspace(-2.0, 2.0, 36, dtype=np.float32).reshape(6, 6)
    shown = np.asarray(seen(container(np.stack([gradient] * 3)), 100))
    assert shown.shape == (6, 6, 3)
    assert (shown[0, 0, 0], shown[-1, -1, 2]) == (0, 255)


def test_images_are_no_larger_than_asked_and_their_own_is_left_alone() -> None:
    own = Image.new("RGB", (300, 150), "red")
    shown = seen((own, 7), 100)
    assert shown.size == (100, 50)
    assert own.size == (300, 150)


def test_sixteen_bits_of_grey_keep_their_shades() -> None:
    pixels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    shown = np.asarray(seen(Image.fromarray(pixels), 100))
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255
    assert len(np.unique(shown)) > 50


def test_texts_are_cut_and_what_is_neither_is_nothing() -> None:
    assert seen({"text": "a premise", "pair": "a hypothesis"}, 72) == "a premise | a hypothesis"
    assert seen("long " * 100, 72) == ("long " * 100)[:TEXT] + " ..."
    assert seen("\x1b[31m", 72) == r"\x1b[31m"
    assert seen([1.0, 2.0], 72) is None
    assert seen(torch.full((3, 8, 8), torch.nan), 72) is None
