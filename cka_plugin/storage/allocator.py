"""What becomes of freed activations while models run on a CPU: kept for the next ones, or given back at once.

glibc gives large blocks back to the system as soon as they are freed, and the system fills every page with zeros before
the next activation may use it, which takes time with large images. Smaller blocks it keeps, in pieces that often fit no
later one, which takes memory. `python -m tests.benchmarks memory` shows what either way costs in memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator

AMPLE = 1 << 30  # bytes: whoever lets vectors take so much can spare what keeping freed memory takes

# From malloc.h. Setting any of them ends glibc's own adjusting, so they are left as it would have them after a tensor
# of 32 MiB or more was freed.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}
_GIVEN_BACK = {_MMAP_THRESHOLD: 1 << 20, _TRIM_THRESHOLD: 1 << 20}
_AFTERWARDS = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}

_lock = threading.Lock()
_within = 0


@contextlib.contextmanager
def freed_memory(kept: bool) -> Iterator[None]:
    """Within it freed memory stays with the process, to be used again, or blocks of 1 MiB and more go back at once.

    After it, all that is free is given back. Of runs in several threads the first decides. Where the allocator is not
    glibc's, nothing happens.
    """
    global _within
    with _lock:
        _within += 1
        if _within == 1:
            _set(_KEPT if kept else _GIVEN_BACK)
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                _set(_AFTERWARDS)
                give_back_freed()


def give_back_freed() -> None:
    """Give freed memory back to the system, where the allocator (glibc's) can be asked to.

    It keeps what lies between the small arrays that a run holds on to: without this, vectors that lie in files would
    take memory all the same (`python -m tests.benchmarks.memory_scale --batch-size 256` shows what they take).
    """
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _set(options: dict[int, int]) -> None:
    mallopt = _function("mallopt")
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)


def _function(name: str) -> ctypes._NamedFuncPointer | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
