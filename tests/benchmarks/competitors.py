"""What is measured against what, each in a process of its own, alive over many runs.

In one process the memory that one leaves to the allocator makes the next one's page faults fewer.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.jobs import BARE, LIMIT, MAX_MEMORY, Job, bare, ours
from tests.benchmarks.limit import Limit
from tests.benchmarks.rivals import installed, silent


def process(job: Job, what: str, folder: Path | None) -> ProcessPoolExecutor:
    """A process with the models and the data of `job`, to which the functions below can be submitted.

    Args:
        job: what to compare.
        what: bare forward passes, ours, or a package in `folder`.
        folder: where the packages are installed.
    """
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, _Competitor.start, (job, what, folder, torch.get_num_threads()))


def layers_and_matrix() -> tuple[dict[str, list[str]], np.ndarray]:
    """Of ours: paths of the layers of every model, and CKA of the first model with the last."""
    comparison = _Competitor.here.run()
    first, *_, last = comparison.names
    paths = {name: [layer.path for layer in comparison.layers(name)] for name in comparison.names}
    return paths, comparison.matrix(first, last)


def rival_matrix(paths: dict[str, list[str]]) -> np.ndarray:
    """Of another package: CKA of the first model with the last, at the layers that all later runs look at too."""
    here = _Competitor.here
    here.paths = paths
    first, *_, last = paths
    with silent():
        return here.compared(first, last)


def prepare_limit(paths: dict[str, list[str]]) -> dict[str, str]:
    """Of the limit: where Gram matrices are made; returns the memory format that each model is quicker in."""
    here = _Competitor.here
    here.limit = Limit(here.models, here.loader, paths)
    return {name: str(kind).removeprefix("torch.") for name, kind in here.limit.formats.items()}


def timed() -> float:
    """CPU seconds of this process that one run takes."""
    if _Competitor.here.what == LIMIT:
        return sum(_Competitor.here.limit.seconds().values())
    start = time.process_time()
    with silent():
        _Competitor.here.run()
    return time.process_time() - start


class _Competitor:
    """The models, the data and what is run on them; one a process."""

    here: _Competitor
    limit: Limit

    def __init__(self, job: Job, what: str, folder: Path | None) -> None:
        self.job, self.what = job, what
        self.models: dict[str, nn.Module] = job.build()
        self.loader: DataLoader = job.loader()
        self.rival = installed(folder).get(what)
        self.paths: dict[str, list[str]] = {}

    @classmethod
    def start(cls, job: Job, what: str, folder: Path | None, threads: int) -> None:
        torch.set_num_threads(threads)
        cls.here = cls(job, what, folder)

    def run(self) -> Any:
        if self.what == BARE:
            return bare(self.models, self.loader)
        if self.what in MAX_MEMORY:
            return ours(self.models, self.loader, self.job.granularity, MAX_MEMORY[self.what])
        return [self.compared(a, b) for a, b in itertools.combinations(self.models, 2)]

    def compared(self, a: str, b: str) -> np.ndarray:
        assert self.rival is not None
        return self.rival(self.models[a], self.models[b], self.paths[a], self.paths[b], self.loader)
