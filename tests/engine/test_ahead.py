"""Reading ahead gives what reading would, in the same order, and never runs a user's code in another thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import cka_plugin as cka
from cka_plugin.engine.ahead import read_ahead
from cka_plugin.warnings import warn


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = []
    second = threading.Event()

    def items():
        for number in range(4):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    found = []
    for item in read_ahead(items()):
        assert item > 0 or second.wait(10)
        found.append(item)
    assert found == made == [0, 1, 2, 3]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items():
        yield 1
        raise ValueError("photo.png cannot be read")

    reading = read_ahead(items())
    assert next(reading) == 1
    with pytest.raises(ValueError, match=r"photo\.png"):
        next(reading)


def test_a_warning_of_reading_points_at_the_users_line() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    data = torch.arange(32.0).reshape(8, 4).repeat(2, 1)  # every example comes twice
    with pytest.warns(cka.CKAWarning, match="repeat the content") as told:
        cka.compare({"net": net}, data=data, batch_size=8, granularity="module", progress=False)
    assert [warning.filename for warning in told] == [__file__]


def test_what_is_warned_of_before_an_error_is_told() -> None:
    def items():
        warn("photo.png is grey")
        raise ValueError("photo.png cannot be read")
        yield

    with pytest.warns(cka.CKAWarning, match="grey"), pytest.raises(ValueError, match="cannot be read"):
        next(read_ahead(items()))


def test_leaving_early_ends_the_thread() -> None:
    reading = read_ahead(iter(range(100)))
    assert next(reading) == 0
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cka-plugin-read")]


class Recording(Dataset):
    def __init__(self) -> None:
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> torch.Tensor:
        self.threads.add(threading.current_thread().name)
        return torch.full((4,), float(index)) + torch.randn(4)


def test_a_data_set_of_the_user_is_read_in_the_main_thread() -> None:
    data = Recording()
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    cka.compare({"net": net}, data=data, batch_size=8, granularity="module", progress=False)
    assert data.threads == {threading.current_thread().name}


def test_images_prepared_ahead_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)) for _ in range(24)]
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False).eval()
    ahead = cka.represent(model, images, batch_size=8, progress=False)
    plain = cka.represent(model, images, batch_size=8, progress=False, workers=0)
    assert all(np.array_equal(a, b) for a, b in zip(ahead.vectors, plain.vectors, strict=True))
