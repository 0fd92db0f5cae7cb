"""Where vectors live: in memory up to a budget, beyond it in memory-mapped files of a temporary folder."""

from __future__ import annotations

import math
import mmap
import os
import re
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cka_plugin.storage.allocator import give_back_freed

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def budget_bytes(max_memory: int | float | str) -> int:
    """Bytes that vectors may take in memory, given in bytes, as `"4GiB"`, or `"auto"`: half of what is free.

    Raises:
        ValueError: it is none of these.

    Example:
        >>> budget_bytes("4GiB") == 4 * 2**30 == budget_bytes(2**32)
        True
    """
    if isinstance(max_memory, int | float) and not isinstance(max_memory, bool):
        if max_memory < 0:
            raise ValueError(f"max_memory {max_memory}: expected a size in bytes")
        return int(max_memory)
    if max_memory == "auto":
        return available_bytes() // 2
    size = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?i?)b?\s*", str(max_memory).lower())
    if size is None or size[2] not in _UNITS:
        raise ValueError(f"max_memory {max_memory!r}: expected 'auto', a number of bytes, or a size such as '4GiB'")
    return int(float(size[1]) * _UNITS[size[2]])


def available_bytes() -> int:
    """Memory that is free, within the limits of a control group where there is one."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/proc/meminfo", encoding="ascii") as table:
            free = next(int(line.split()[1]) * 1024 for line in table if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: what the machine has
        return free
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        return free if limit == "max" else min(free, max(int(limit) - used, 0))
    except (OSError, ValueError):  # no control group
        return free


class VectorStore:
    """Arrays in memory while they fit the budget; the rest in files that go when the last array does.

    The files lie in the system's folder for temporary files (`TMPDIR`), which should not itself be in memory.

    Args:
        budget: bytes in memory; see `budget_bytes`.
    """

    SEGMENT_BYTES = 64 * 2**20  # arrays share files: a process may map some 65,000, fewer than there can be minibatches
    TRIM_BYTES = 16 * 2**20  # after so much has gone to files, what it lay in is given back to the system
    # After so many arrays were kept in memory, what is free between them is given back too: it is in pieces that often
    # fit nothing. Without this 1,000,000 examples in minibatches of 256, kept as 230 MB of sketches, took 7 GB.
    TRIM_ARRAYS = 64

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0
        self._segment: np.memmap[Any, Any] | None = None
        self._filled = 0
        self._since_trimmed = 0
        self._kept = 0

    @property
    def spilled(self) -> bool:
        """Whether anything lies in files."""
        return self._folder is not None

    def keep(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The same array, in memory or mapped from a file; it can be written to.

        Raises:
            OSError: the disk of the temporary files is full.
        """
        if self._fits(array.nbytes):
            self._kept += 1
            if self._kept % self.TRIM_ARRAYS == 0:
                give_back_freed()
            return array
        mapped = self._mapped(array.nbytes).view(array.dtype).reshape(array.shape)
        mapped[...] = array
        release(mapped)
        self._since_trimmed += array.nbytes
        if self._since_trimmed >= self.TRIM_BYTES:
            give_back_freed()
            self._since_trimmed = 0
        return mapped

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """A float64 array to be filled, in memory or mapped from a file; of zeros until then.

        Raises:
            OSError: the disk of the temporary files is full.
        """
        size = 8 * math.prod(shape)
        return np.zeros(shape) if self._fits(size) else self._mapped(size).view(np.float64).reshape(shape)

    def _fits(self, size: int) -> bool:
        if self.used + size > self.budget:
            return False
        self.used += size
        return True

    def _mapped(self, size: int) -> npt.NDArray[np.uint8]:
        if self._segment is None or self._filled + size > len(self._segment):
            self._segment, self._filled = self._new_segment(max(size, self.SEGMENT_BYTES)), 0
        start = self._filled
        self._filled += -(-size // 64) * 64  # aligned as in memory
        return self._segment[start : start + size]

    def _new_segment(self, size: int) -> np.memmap[Any, Any]:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="cka-plugin-")
        path = Path(self._folder.name) / f"{self._files}.bin"
        self._files += 1
        try:
            with open(path, "wb") as file:
                _allocate(file, size)
        except OSError as error:
            raise OSError(
                error.errno,
                f"no room for {size / 1e6:.0f} MB of vectors beyond max_memory in {self._folder.name}: "
                f"{error.strerror}; free some, set TMPDIR to a larger disk, or give a larger max_memory",
            ) from error
        mapped = np.memmap(path, dtype=np.uint8, mode="r+", shape=(size,))
        folder = self._folder
        weakref.finalize(mapped._mmap, lambda: folder)  # type: ignore[attr-defined]  # lives as long as what it holds
        return mapped


def _allocate(file: IO[bytes], size: int) -> None:
    """Take the room now: a page of a mapped file that finds the disk full kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, 1 << 20):
        file.write(bytes(min(1 << 20, size - start)))


def map_file(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of a file, read when they are used; read-only."""
    return np.memmap(path, dtype=np.uint8, mode="r")


def release(*arrays: npt.NDArray[Any]) -> None:
    """Let go of the memory that mapped arrays take: they are read again from their files when used again.

    Arrays in memory are left alone; so is everything where the system cannot do it.
    """
    for array in arrays:
        held = getattr(array, "_mmap", None)
        if held is None or not hasattr(mmap, "MADV_DONTNEED") or not array.nbytes:
            continue
        start = array.ctypes.data - np.frombuffer(held, dtype=np.uint8).ctypes.data
        first = start - start % mmap.PAGESIZE
        held.madvise(mmap.MADV_DONTNEED, first, start + array.nbytes - first)
