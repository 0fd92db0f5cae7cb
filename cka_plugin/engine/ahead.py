"""Reading ahead: while the models run on one minibatch, a thread reads and prepares the next.

Only where nothing but this package's own code runs in the thread: what draws random numbers (a user's data set or
transform, a loader that shuffles) stays in the main thread, so that the same seed goes on giving the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cka_plugin.warnings import Told, kept_warnings, warn

T = TypeVar("T")
_END = object()


def read_ahead(items: Iterator[T], prepare: Callable[[T], object] = lambda item: None) -> Iterator[T]:
    """The same items in the same order, each made, and `prepare`d, while the one before it is in use.

    What making an item raises is raised where it would have been without a thread: after the items before it. What it
    warns of is told with it, at the user's line.

    Args:
        items: an iterator, which no other thread uses meanwhile. One item more than in use is in memory.
        prepare: called on each item in the thread.

    Example:
        >>> list(read_ahead(iter([1, 2, 3])))
        [1, 2, 3]
    """

    def following() -> tuple[object, BaseException | None, Told]:
        with kept_warnings() as told:
            try:
                item = next(items, _END)
                if item is not _END:
                    prepare(item)  # type: ignore[arg-type]
            except BaseException as error:
                return _END, error, told
        return item, None, told

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="cka-plugin-read") as thread:
        waiting = thread.submit(following)
        while True:
            item, error, told = waiting.result()
            for message, category in told:
                warn(message, category)
            if error is not None:
                raise error
            if item is _END:
                return
            waiting = thread.submit(following)
            yield item  # type: ignore[misc]
