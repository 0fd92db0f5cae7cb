"""Speed, as ratios of process CPU time: ours and the other packages against the bare forward passes, in turn.

Bare forward: the same models in PyTorch's default memory format under `inference_mode`, over the same loader. The other
packages compare one pair of models a call, so that a zoo costs them every pair; each pair's both models run every time.

Each runs in a process of its own, alive from the first turn to the last: in one process the memory that one leaves to
the allocator makes the next one's page faults fewer (bare forward passes at 224 px are 5% faster after ours).
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.jobs import BARE, JOBS, OURS, OURS_LEAN, Job, expected, ours
from tests.benchmarks.rivals import PACKAGES, installed, silent

SLOW = 120  # CPU seconds of the warm-up from which a package is not run again (torch-cka)


def measure(job: Job, rivals: list[str], folder: Path | None, repeats: int) -> dict[str, Any]:
    """Medians of `repeats` runs of everything in turn, after a warm-up; errors against float64.

    Args:
        job: what to compare.
        rivals: names of packages in `folder`.
        folder: where they are installed.
        repeats: how often each runs.
    """
    with contextlib.ExitStack() as stack:
        workers = {what: stack.enter_context(_process(job, what, folder)) for what in (BARE, OURS, OURS_LEAN, *rivals)}
        first, last = job.models[0], job.models[-1]
        paths, found = workers[OURS].submit(_layers_and_matrix).result()
        truth = _truth(job, paths)
        errors: dict[str, float] = {OURS: float(np.abs(found - truth).max())}
        failed: dict[str, str] = {}
        for name in rivals:
            try:
                found = workers[name].submit(_rival_matrix, paths).result()
                if found.shape != truth.shape:
                    raise ValueError(f"gives {found.shape} values for {truth.shape} pairs of layers")
                errors[name] = float(np.abs(found - truth).max())
            except Exception as error:  # what a package cannot do is a result too
                failed[name] = f"{type(error).__name__}: {error}"[:100]
                workers.pop(name).shutdown()
        seconds = _in_turn(workers, repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "title": job.title,
        "layers": {name: len(of_model) for name, of_model in paths.items()},
        "compared with float64": [first, last],
        "seconds": seconds,
        "to_bare_forward": {name: value / medians[BARE] for name, value in medians.items()},
        "times_faster": {name: medians[name] / medians[OURS] for name in rivals if name in medians},
        "largest_error": errors,
        "failed": failed,
        "target": job.target,
        "target_times_faster_than_pytorch_cka": job.target_rival,
    }


def _in_turn(workers: dict[str, ProcessPoolExecutor], repeats: int) -> dict[str, list[float]]:
    """Process CPU seconds of each, one after the other, `repeats` times; slow ones once."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    slow: set[str] = set()
    for turn in range(repeats + 1):
        for name, worker in workers.items():
            if name in slow:
                continue
            spent = worker.submit(_timed).result()
            if turn:
                seconds[name].append(spent)
            elif name not in (BARE, OURS, OURS_LEAN) and spent > SLOW:
                seconds[name].append(spent)
                slow.add(name)
    return seconds


def _truth(job: Job, paths: dict[str, list[str]]) -> np.ndarray:
    models = job.build()
    first, last = job.models[0], job.models[-1]
    return expected(models[first], models[last], paths[first], paths[last], job.loader())


# What follows runs in the process of one competitor.


def _process(job: Job, what: str, folder: Path | None) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, spawn, _Competitor.start, (job, what, folder, torch.get_num_threads()))


class _Competitor:
    """The models, the data and what is run on them; one a process."""

    here: _Competitor

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
            with torch.inference_mode():
                for x, _ in self.loader:
                    for model in self.models.values():
                        model(x)
            return None
        if self.rival is None:
            return ours(self.models, self.loader, self.job.granularity, "64MiB" if self.what == OURS_LEAN else "auto")
        return [self.compared(a, b) for a, b in itertools.combinations(self.models, 2)]

    def compared(self, a: str, b: str) -> np.ndarray:
        assert self.rival is not None
        return self.rival(self.models[a], self.models[b], self.paths[a], self.paths[b], self.loader)


def _layers_and_matrix() -> tuple[dict[str, list[str]], np.ndarray]:
    comparison = _Competitor.here.run()
    first, *_, last = comparison.names
    paths = {name: [layer.path for layer in comparison.layers(name)] for name in comparison.names}
    return paths, comparison.matrix(first, last)


def _rival_matrix(paths: dict[str, list[str]]) -> np.ndarray:
    here = _Competitor.here
    here.paths = paths
    first, *_, last = paths
    with silent():
        return here.compared(first, last)


def _timed() -> float:
    start = time.process_time()
    with silent():
        _Competitor.here.run()
    return time.process_time() - start


def table(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of all jobs: cost over that of the bare forward passes, and the largest error in brackets."""
    packages = [name for name in PACKAGES if any(name in found["to_bare_forward"] for found in results.values())]
    head = ["job", "target", OURS, "(64MiB)", *packages, "times faster than pytorch-cka"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for found in results.values():
        ratio, error = found["to_bare_forward"], found["largest_error"]
        costs = [f"{ratio[n]:.2f} ({error[n]:.0e})" if n in ratio else "" for n in (OURS, *packages)]
        costs.insert(1, f"{ratio[OURS_LEAN]:.2f}")
        faster = found["times_faster"].get("pytorch-cka")
        cells = [found["title"], f"{found['target']:.2f}", *costs, "" if faster is None else f"{faster:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        f"\n{name} cannot run the job '{found['title']}': {why}"
        for found in results.values()
        for name, why in found["failed"].items()
    ]
    return "\n".join(lines)


__all__ = ["JOBS", "measure", "table"]
