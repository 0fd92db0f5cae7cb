"""A worker of pytest-xdist computes with one thread: two workers of two threads each would be in each other's way."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start, too
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
