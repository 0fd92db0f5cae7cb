"""How many workers: as many as this process may use cores."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, in cgroups of version 2: microseconds, and of how many


def cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its container's share of time.

    Example:
        >>> 1 <= cores() <= os.cpu_count()
        True
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # there is none, or it says `max`
        return bound


def how_many(workers: int | str, sharing: int = 1) -> int:
    """The number of workers that an option asks for.

    Args:
        workers: `auto`, or their number.
        sharing: processes of this run that share the machine, each with workers of its own.
    """
    return max(1, cores() // sharing) if isinstance(workers, str) else int(workers)
