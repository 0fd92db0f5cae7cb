"""Worker processes of this machine, each of which may die without the others."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from cka_plugin.workers import cores


class ProcessWorkers:
    """An executor of processes of this machine. One that dies (out of memory) takes its own task with it and no other.

    A pool of `concurrent.futures` is broken for good by the first worker that is killed. The processes are spawned:
    forks of a process that has threads of PyTorch may hang.

    Args:
        count: of processes.
        threads: of PyTorch in each; the cores shared evenly by default.

    Example:
        >>> with ProcessWorkers(1) as workers:
        ...     workers.submit(abs, -3).result()
        3
    """

    def __init__(self, count: int, threads: int | None = None) -> None:
        self.count = count
        self.threads = threads or max(1, cores() // count)
        self._guards = ThreadPoolExecutor(count, thread_name_prefix="cka-plugin-worker")
        self._own = threading.local()
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a process do `function(*arguments)`."""
        return self._guards.submit(self._done_by_process, function, arguments)

    def _done_by_process(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if getattr(self._own, "pool", None) is None:
            context = multiprocessing.get_context("spawn")
            self._own.pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self.threads,))
            self._pools.append(self._own.pool)
        try:
            return self._own.pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            self._own.pool = None
            raise RuntimeError("its process was killed, perhaps for want of memory") from error

    def shutdown(self) -> None:
        """Let what runs end, call off the rest, and end the processes."""
        self._guards.shutdown(cancel_futures=True)
        for pool in self._pools:
            pool.shutdown()

    def __enter__(self) -> ProcessWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()


def _begin(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever, and keep its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
