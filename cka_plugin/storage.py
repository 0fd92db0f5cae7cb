"""Where vectors live: in memory up to a budget, beyond it in memory-mapped files of a temporary folder."""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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

    Args:
        budget: bytes in memory; see `budget_bytes`.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    @property
    def spilled(self) -> bool:
        """Whether anything lies in files."""
        return self._folder is not None

    def keep(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The same array, in memory or mapped from a file."""
        if self.used + array.nbytes <= self.budget:
            self.used += array.nbytes
            return array
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="cka-plugin-")
        path = Path(self._folder.name) / f"{self._files}.bin"
        self._files += 1
        mapped: npt.NDArray[Any] = np.memmap(path, dtype=array.dtype, mode="w+", shape=array.shape)
        mapped[...] = array
        mapped.flush()  # type: ignore[attr-defined]
        folder = self._folder
        weakref.finalize(mapped, lambda: folder)  # the folder lives as long as any array in it
        return mapped
