"""What becomes of freed memory while models run."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

import cka_plugin as cka
from cka_plugin.storage import allocator
from cka_plugin.storage.allocator import freed_memory

MEASURE = """
import resource, sys, torch
from cka_plugin.storage.allocator import freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(12 << 20)  # 48 MiB: glibc gives it back at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
plain = faults()
with freed_memory(kept=True):
    kept = faults()
print(plain, kept)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_kept_memory_is_not_asked_for_again() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    plain, kept = map(int, done.stdout.split())
    assert kept < plain / 2, (plain, kept)


@pytest.fixture
def told(monkeypatch) -> list[dict[int, int]]:
    found: list[dict[int, int]] = []
    monkeypatch.setattr(allocator, "_set", found.append)
    return found


def test_what_was_told_is_taken_back_even_after_an_error_and_once(told: list[dict[int, int]]) -> None:
    with pytest.raises(KeyError), freed_memory(kept=True), freed_memory(kept=False):
        raise KeyError
    assert told == [allocator._KEPT, allocator._AFTERWARDS]


def test_a_run_with_a_tight_bound_on_memory_gives_back_at_once(told: list[dict[int, int]]) -> None:
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    options = {"data": torch.randn(16, 4), "granularity": "module", "batch_size": 8, "device": "cpu", "progress": False}
    for max_memory in ("auto", "2GiB", "1MiB"):
        cka.compare(net, max_memory=max_memory, **options)
    assert told[::2] == [allocator._KEPT, allocator._KEPT, allocator._GIVEN_BACK]
    assert told[1::2] == 3 * [allocator._AFTERWARDS]


def test_another_allocator_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with freed_memory(kept=True):
        allocator.give_back_freed()
