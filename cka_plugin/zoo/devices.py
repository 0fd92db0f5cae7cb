"""One model a GPU at a time, whichever worker runs it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

_WAIT_SECONDS = 0.5


@contextlib.contextmanager
def claimed_device(device: str) -> Iterator[str]:
    """A device for one model: where `auto` may mean one of several GPUs, one that no other worker uses meanwhile.

    Workers of one machine tell one another by locks on files, which end with the process that holds them, however it
    ends. Where each worker sees one GPU only (`CUDA_VISIBLE_DEVICES`, as Dask-CUDA and Slurm set it), that is the one.
    """
    count = torch.cuda.device_count() if device == "auto" and torch.cuda.is_available() else 0
    if count < 2 or os.name != "posix":
        yield device
        return
    with contextlib.ExitStack() as stack:
        yield f"cuda:{_first_free(count, stack)}"


def _first_free(count: int, stack: contextlib.ExitStack) -> int:
    """The number of a device, held until the stack is left."""
    import fcntl

    folder = Path(tempfile.gettempdir()) / f"cka-plugin-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for number in range(count):
            own = getattr(torch.cuda.get_device_properties(number), "uuid", number)  # the same under any numbering
            file = open(folder / str(own), "w")  # noqa: SIM115
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            stack.callback(file.close)
            return number
        time.sleep(_WAIT_SECONDS)
