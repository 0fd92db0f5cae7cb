"""Where vectors live: the budget holds, spilled arrays are what they were, and a full disk is an error."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from cka_plugin.storage import vectors as storage
from cka_plugin.storage.vectors import VectorStore, budget_bytes, release


def arrays(count: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(3, 101)).astype(np.float32) for _ in range(count)]


def test_arrays_lie_in_memory_up_to_the_budget_and_beyond_it_in_files() -> None:
    given = arrays()
    store = VectorStore(10 * given[0].nbytes)
    kept = [store.keep(array) for array in given]
    assert [isinstance(array, np.memmap) for array in kept] == [False] * 10 + [True] * 40
    assert store.spilled
    assert all(np.array_equal(one, other) for one, other in zip(given, kept, strict=True))
    assert all(array.ctypes.data % 64 == 0 for array in kept[10:])


def test_arrays_share_files(monkeypatch) -> None:
    monkeypatch.setattr(VectorStore, "SEGMENT_BYTES", 8192)
    store = VectorStore(0)
    kept = [store.keep(array) for array in [*arrays(50), np.zeros(5000)]]
    assert 50 * 1212 / 8192 < len(os.listdir(store._folder.name)) < 15
    assert all(np.array_equal(one, other) for one, other in zip(arrays(50), kept, strict=False))


def test_spilled_arrays_can_be_changed_and_released() -> None:
    store = VectorStore(0)
    first, second = store.keep(arrays()[0]), store.keep(arrays()[1])
    first[1] = 7.0
    release(first, second, np.zeros(3))
    assert (first[1] == 7.0).all()
    assert np.array_equal(second, arrays()[1])
    sums = store.empty((4, 5))
    assert (sums == 0).all()
    assert isinstance(sums, np.memmap)


def test_the_files_go_with_the_last_array() -> None:
    store = VectorStore(0)
    kept = store.keep(arrays()[0])
    folder = Path(store._folder.name)
    row = np.asarray(kept[1])
    del store, kept
    gc.collect()
    assert folder.exists()
    assert np.array_equal(row, arrays()[0][1])
    del row
    gc.collect()
    assert not folder.exists()


def test_a_full_disk_is_an_error_that_says_what_to_do(monkeypatch) -> None:
    def full(file, size) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_allocate", full)
    with pytest.raises(OSError, match=r"no room for 67 MB of vectors beyond max_memory in .*No space left.*TMPDIR"):
        VectorStore(0).keep(arrays()[0])


def test_room_is_taken_also_where_the_system_cannot_reserve_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    with open(tmp_path / "file", "wb") as file:
        storage._allocate(file, 3_000_000)
    assert (tmp_path / "file").stat().st_size == 3_000_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [(5, 5), ("5", 5), ("1.5k", 1500), ("2 MiB", 2**21), ("3GB", 3 * 10**9), ("1ti", 2**40), (0, 0)],
)
def test_budgets_are_read(given: int | str, expected: int) -> None:
    assert budget_bytes(given) == expected


@pytest.mark.parametrize("given", ["much", "5 apples", -1, None, True, "GiB"])
def test_other_budgets_are_refused(given: object) -> None:
    with pytest.raises(ValueError, match="max_memory"):
        budget_bytes(given)


def test_auto_is_half_of_what_is_free() -> None:
    assert 0 < budget_bytes("auto") <= storage.available_bytes()


def test_what_is_free_between_many_arrays_in_memory_is_given_back_now_and_then(monkeypatch) -> None:
    given_back = []
    monkeypatch.setattr(storage, "give_back_freed", lambda: given_back.append(1))
    store = VectorStore(budget=10**9)
    for array in arrays(2 * VectorStore.TRIM_ARRAYS + 5):
        assert store.keep(array) is array
    assert len(given_back) == 2
