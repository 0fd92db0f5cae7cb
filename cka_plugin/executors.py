"""Work over any executor: whatever takes `submit(function, *arguments)` and gives something that has a `.result()`.

So do the pools of `concurrent.futures`, Dask's `client.get_executor()`, submitit's `AutoExecutor`, loky,
`mpi4py.futures` and ipyparallel's views.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

_POLL_SECONDS = 0.2  # between two looks at jobs that nobody can be told of (submitit's lie in files)


def check_executor(executor: Any) -> None:
    """Raise a TypeError unless work can be given to it."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"executor {executor!r}: expected something with submit(function, *arguments).result(), such as "
            "concurrent.futures.ProcessPoolExecutor(4), or None"
        )


def over_executor(
    executor: Any, function: Callable[..., Any], tasks: Sequence[Any]
) -> Iterator[tuple[int, Any, Exception | None]]:
    """Do `function(task)` for every task, and give each as it is done.

    Args:
        executor: anything with `submit`; None does one after the other here.
        function: one that the executor's workers can import.
        tasks: what they are given, one each.

    Yields:
        The number of the task, what the function returned, and None; or None and the error, of the function or of an
        executor whose worker died. Where the reader stops early (Ctrl-C), what has not begun is called off.
    """
    if executor is None:
        for number, task in enumerate(tasks):
            yield (number, *_outcome(partial(function, task)))
        return
    futures: dict[int, Any] = {}
    refused: list[tuple[int, Exception]] = []
    together = getattr(executor, "batch", contextlib.nullcontext)  # submitit's, which makes one array of all jobs
    with together():
        for number, task in enumerate(tasks):
            try:
                futures[number] = executor.submit(function, task)
            except Exception as error:  # a pool whose worker has died takes nothing any more
                refused.append((number, error))
    try:
        for number in _as_they_finish(futures):
            yield (number, *_outcome(futures.pop(number).result))
    finally:
        for future in futures.values():
            if callable(getattr(future, "cancel", None)):
                future.cancel()
    for number, refusal in refused:
        yield number, None, refusal


def _outcome(result: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return result(), None
    except Exception as error:
        return None, error


def _as_they_finish(futures: dict[int, Any]) -> Iterator[int]:
    """Numbers of futures, the finished ones first where they can tell."""
    waiting = dict(futures)
    if all(isinstance(future, concurrent.futures.Future) for future in waiting.values()):
        numbers = {future: number for number, future in waiting.items()}
        yield from (numbers[future] for future in concurrent.futures.as_completed(numbers))
        return
    if not all(callable(getattr(future, "done", None)) for future in waiting.values()):
        yield from waiting
        return
    while waiting:
        done = [number for number, future in waiting.items() if future.done()]
        for number in done:
            del waiting[number]
            yield number
        if not done:
            time.sleep(_POLL_SECONDS)
