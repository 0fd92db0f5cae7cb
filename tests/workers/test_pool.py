"""Threads that prepare ahead: each computes alone, and what they do comes in order."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator

import pytest
import torch

from cka_plugin.warnings import CKAWarning, warn
from cka_plugin.workers import Pool


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_torch_computes_in_one_thread_of_each_worker_and_elsewhere_as_before() -> None:
    def computed() -> int:
        time.sleep(0.02)  # so that every worker gets some
        _ = torch.ones(300, 300) @ torch.ones(300, 300)
        return torch.get_num_threads()

    with Pool(3) as pool:
        assert {pool.submit(computed).result()[0] for _ in range(12)} == {1}
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2
    later: list[int] = []
    new = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert later == [2]


def test_items_come_in_their_order_whatever_takes_longest() -> None:
    with Pool(3) as pool:
        assert list(pool.ahead(iter(range(8)), lambda item: time.sleep(0.02 * (item % 3 == 0)), 3)) == list(range(8))


def test_no_more_are_prepared_than_asked_for() -> None:
    begun: list[int] = []
    with Pool(4) as pool:
        ahead = pool.ahead(iter(range(20)), begun.append, 2)
        assert next(ahead) == 0
        time.sleep(0.05)
        assert sorted(begun) in ([0], [0, 1])


def test_what_fails_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("photo.png cannot be read")

    with Pool(2) as pool:
        ahead = pool.ahead(items(), lambda item: None, 4)
        assert [next(ahead), next(ahead)] == [0, 1]
        with pytest.raises(OSError, match=r"photo\.png"):
            next(ahead)


def test_warnings_come_with_their_items() -> None:
    def prepare(item: int) -> None:
        time.sleep(0.02 * (item == 0))
        warn(f"item {item}")

    with Pool(2) as pool, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CKAWarning)
        for item in pool.ahead(iter(range(4)), prepare, 4):
            assert [str(one.message) for one in caught] == [f"item {number}" for number in range(item + 1)]


def test_a_pool_that_is_called_off_begins_nothing_more() -> None:
    go, done = threading.Event(), []
    with Pool(1) as pool:
        pool.submit(go.wait, 10)
        left = [pool.submit(done.append, number) for number in range(5)]
        pool.cancel()
        go.set()
    assert done == []
    assert all(one.cancelled() for one in left)
