"""Worker processes: one that dies takes its own task with it, and no other."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from cka_plugin.zoo.workers import ProcessWorkers


def test_a_process_that_is_killed_fails_its_own_task_alone() -> None:
    with ProcessWorkers(1, threads=1) as workers:
        first = workers.submit(os.kill, os.getpid(), 0)  # asks only whether we are there
        killed = workers.submit(_kill_itself)
        after = workers.submit(torch.get_num_threads)
        assert first.result() is None
        with pytest.raises(RuntimeError, match="its process was killed, perhaps for want of memory"):
            killed.result()
        assert after.result() == 1


def _kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
