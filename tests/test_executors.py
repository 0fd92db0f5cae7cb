"""Work over any executor: as it is done, with its errors, and called off where nobody waits any more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cka_plugin.executors import check_executor, over_executor


class Job:
    """What submitit gives: it can be asked, and tells nobody."""

    def __init__(self, value: Any, looks: int) -> None:
        self.value, self.looks = value, looks

    def done(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def result(self) -> Any:
        return self.value


class Plain:
    """The least that an executor can be."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        value = function(*arguments)
        return type("Result", (), {"result": lambda self: value})()


class Polled:
    def submit(self, function: Any, number: int) -> Job:
        return Job(function(number), looks=[3, 0, 1][number])


def inverse(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_every_task_is_given_back_with_its_result_or_its_error(executor: Any) -> None:
    found = {number: (value, error) for number, value, error in over_executor(executor, inverse, [1, 0, 4])}
    assert (found[0], found[2]) == ((1.0, None), (0.25, None))
    assert isinstance(found[1][1], ZeroDivisionError)


def test_what_can_only_be_asked_is_given_as_it_is_done() -> None:
    assert [number for number, _, _ in over_executor(Polled(), abs, [0, 1, 2])] == [1, 2, 0]


def test_what_can_only_be_waited_for_is_given_in_order() -> None:
    assert list(over_executor(Plain(), abs, [-1, -2])) == [(0, 1, None), (1, 2, None)]


def test_what_has_not_begun_is_called_off_where_the_reader_stops() -> None:
    ran: list[int] = []
    go = threading.Event()

    def work(number: int) -> None:
        go.wait(10) if number else None
        ran.append(number)

    with ThreadPoolExecutor(1) as executor:
        found = over_executor(executor, work, [0, 1, 2, 3])
        next(found)
        found.close()
        go.set()
    assert set(ran) <= {0, 1}


def test_submitits_jobs_are_sent_as_one_array() -> None:
    class Batching(Plain):
        open = False

        @contextlib.contextmanager
        def batch(self) -> Iterator[None]:
            self.open = True
            yield
            self.open = False

        def submit(self, function: Any, *arguments: Any) -> Any:
            assert self.open
            return super().submit(function, *arguments)

    assert [value for _, value, _ in over_executor(Batching(), abs, [-1, -2])] == [1, 2]


def test_what_is_no_executor_is_said() -> None:
    check_executor(None)
    with pytest.raises(TypeError, match=r"executor 'dask': expected something with submit"):
        check_executor("dask")
