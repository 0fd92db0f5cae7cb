"""What cannot be used by several processes at once is found in whatever holds it."""

from __future__ import annotations

import functools
import random
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cka_plugin.workers import obstacle


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, image: Any) -> Any:
        return image

    def method(self, image: Any) -> Any:
        return image


def closure(held: Any) -> Any:
    return lambda image: (image, held)


def default(held: Any) -> Any:
    def function(image: Any, of: Any = held) -> Any:
        return image, of

    return function


WAYS = [Holder, closure, default, lambda held: functools.partial(max, held), lambda held: Holder(held).method,
        lambda held: [{"deep": (Holder(closure(held)),)}]]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_generators_and_open_files_are_found(way: Any, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (4, 4)).save(path)
    generators = [random.Random(0), np.random.default_rng(0), np.random.RandomState(0), torch.Generator()]
    for generator in generators:
        assert "generator of random numbers" in (obstacle(way(generator)) or "")
    with path.open("rb") as file, Image.open(path) as image:
        assert "open file" in (obstacle(way(file)) or "")
        assert "open file" in (obstacle(way(image)) or "")
    connection = sqlite3.connect(":memory:")
    assert "cannot be in two processes" in (obstacle(way(connection)) or "")
    connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_what_can_be_copied_is_none(way: Any) -> None:
    fine = {"a": [1, "b", None], "x": torch.ones(3), "y": np.ones(3), "image": Image.new("L", (4, 4)), "of": Holder}
    assert obstacle(way(fine)) is None


def test_arrays_and_pictures_are_not_copied_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "__reduce_ex__", lambda *given: 1 / 0)
    monkeypatch.setattr(Image.Image, "tobytes", lambda *given: 1 / 0)
    assert obstacle(Holder(torch.ones(3)), Holder([Image.new("L", (4, 4))])) is None


def test_what_holds_itself_ends() -> None:
    def again(image: Any) -> Any:
        return again(image)

    held: list[Any] = []
    held.append(held)
    assert obstacle(again, held) is None
