"""One model a GPU at a time, whichever worker runs it; without a GPU at hand, on devices that are only said to be."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cka_plugin.zoo import devices
from cka_plugin.zoo.devices import claimed_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"gpu-{number}"))
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_WAIT_SECONDS", 0.01)


@pytest.mark.usefixtures("two_gpus")
def test_workers_take_devices_that_no_other_uses_and_wait_where_there_is_none() -> None:
    found: list[str] = []

    def third() -> None:
        with claimed_device("auto") as device:
            found.append(device)

    with claimed_device("auto") as first:
        with claimed_device("auto") as second:
            assert (first, second) == ("cuda:0", "cuda:1")
            waiting = threading.Thread(target=third)
            waiting.start()
            waiting.join(0.1)
            assert not found
        waiting.join(10)
    assert found == ["cuda:1"]


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_named_is_that_one() -> None:
    with claimed_device("cuda:1") as first, claimed_device("cuda:1") as second:
        assert first == second == "cuda:1"


def test_one_device_or_none_is_left_to_the_run() -> None:
    if torch.cuda.device_count() < 2:
        with claimed_device("auto") as device:
            assert device == "auto"
