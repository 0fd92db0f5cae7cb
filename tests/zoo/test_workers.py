"""Worker processes: one that dies takes its own task with it, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc, in which processes are seen")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(
        "import os, time\n"
        "from cka_plugin.zoo.workers import ProcessWorkers\n"
        "if __name__ == '__main__':\n"
        "    with ProcessWorkers(1, threads=1) as workers:\n"
        "        print(workers.submit(os.getpid).result(), flush=True)\n"
        "        workers.submit(time.sleep, 600).result()\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        worker = int(started.stdout.readline())
        started.kill()
    for _ in range(600):
        if not Path(f"/proc/{worker}/stat").exists() or " Z " in Path(f"/proc/{worker}/stat").read_text():
            break
        time.sleep(0.1)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker outlived the process that had started it")
