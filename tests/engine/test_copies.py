"""Inputs are copied to a CUDA device ahead, on a stream of their own, which the models' stream waits for."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cka_plugin.data import Batch, ReadOptions, open_data
from cka_plugin.engine import copies, feeding
from cka_plugin.models.subject import subjects
from cka_plugin.options import Options


class Stream:
    """Notes what is done, in place of a stream of a device that is not here."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def record(self, stream: Any) -> None:
        self.said.append("recorded")

    def wait_event(self, event: Any) -> None:
        self.said.append("waited")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    noted: list[str] = []
    stream = Stream(noted)

    def copied(inputs: Any, device: torch.device) -> Any:
        noted.append(f"copied to {device}")
        return copies.of_tensors(inputs, torch.clone)

    monkeypatch.setattr(copies.torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(copies.torch.cuda, "Event", lambda: stream)
    monkeypatch.setattr(copies.torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(copies.torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(copies.Tensor, "pin_memory", lambda tensor: noted.append("pinned") or tensor)
    monkeypatch.setattr(copies, "to_device", copied)
    monkeypatch.setattr(feeding, "choose_device", lambda device: torch.device("cuda", 1))
    return noted


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 2, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def test_every_minibatch_is_copied_once_and_waited_for(said: list[str]) -> None:
    from torchvision import transforms

    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)) for _ in range(24)]
    options = Options(batch_size=8, transforms=transforms.ToTensor(), granularity="module", workers=2)
    takes = [one.takes for one in subjects([("a", Net()), ("b", Net())], options)]
    plain: list[Batch] = list(open_data(images).batches(ReadOptions.of(options)))
    with feeding.feeding(open_data(images), ReadOptions.of(options), takes, options) as batches:
        for batch, other in zip(batches, plain, strict=True):
            assert said.count("waited") == batch.index + 1
            for each in takes:
                assert torch.equal(batch.for_model(each), other.for_model(each))
    assert said.count("pinned") == said.count("recorded") == said.count("copied to cuda:1") == 3


def test_tensors_anywhere_in_the_inputs_are_found() -> None:
    pair = torch.return_types.max((torch.ones(2), torch.zeros(2)))
    given = {"x": torch.ones(1), "y": [torch.ones(2), "text"], "z": (torch.ones(3), None), "of": pair[0]}
    doubled = copies.of_tensors(given, lambda tensor: 2 * tensor)
    assert doubled["x"].tolist() == [2]
    assert (doubled["y"][0].tolist(), doubled["y"][1]) == ([2, 2], "text")
    assert (doubled["z"][0].tolist(), doubled["z"][1]) == ([2, 2, 2], None)
