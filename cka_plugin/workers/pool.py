"""Threads that read and prepare, each of which computes alone: the cores are shared among them, not within one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

import torch

from cka_plugin.warnings import Told, kept_warnings, warn

T = TypeVar("T")
NAME = "cka-plugin-worker"


class Pool:
    """A fixed number of threads, as a context manager; what is left to do when it ends is not done.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=NAME)

    def __enter__(self) -> Pool:
        # OpenMP has a team of threads for each thread that calls it, and the number is that thread's own; but torch
        # begins new threads with the number that was set last, by whomever.
        threads, together = torch.get_num_threads(), threading.Barrier(self.workers)
        for started in [self._threads.submit(_alone, together) for _ in range(self.workers)]:
            started.result()
        torch.set_num_threads(threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def cancel(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def submit(self, function: Callable[..., T], *given: Any) -> Future[tuple[T, Told]]:
        """Have something done; with what it gives comes what it would warn of, for whoever waits for it."""
        return self._threads.submit(_telling, function, *given)

    def ahead(self, items: Iterator[T], prepare: Callable[[T], object], depth: int) -> Iterator[T]:
        """The same items in the same order, up to `depth` of them being `prepare`d at a time.

        What an item raises comes after those before it.
        """
        waiting: deque[tuple[T, Future[tuple[object, Told]]]] = deque()
        failure: BaseException | None = None
        ended = False
        while True:
            while not ended and len(waiting) < depth:
                try:
                    item = next(items)
                except StopIteration:
                    ended = True
                except Exception as error:  # said after the items before it
                    ended, failure = True, error
                else:
                    waiting.append((item, self.submit(prepare, item)))
            if not waiting:
                break
            item, done = waiting.popleft()
            say(done.result()[1])
            yield item
        if failure is not None:
            raise failure


def say(told: Told) -> None:
    """Warn of what others have kept."""
    for message, category in told:
        warn(message, category)


def _telling(function: Callable[..., T], *given: Any) -> tuple[T, Told]:
    with kept_warnings() as told:
        return function(*given), told


def _alone(together: threading.Barrier) -> None:
    torch.get_num_threads()  # the first question in a thread sets its number, to that of all: so ask before
    torch.set_num_threads(1)
    together.wait(600)  # so that every thread comes here once
