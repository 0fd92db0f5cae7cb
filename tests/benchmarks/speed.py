"""Speed, as ratios of process CPU time: ours and the other packages against the bare forward passes, in turn.

Bare forward: the same models in PyTorch's default memory format under `inference_mode`, over the same loader. The other
packages compare one pair of models a call, so that a zoo costs them every pair; each pair's both models run every time.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.benchmarks.jobs import BARE, JOBS, OURS, OURS_LEAN, Job, expected, ours
from tests.benchmarks.rivals import PACKAGES, Rival, silent


def measure(job: Job, rivals: dict[str, Rival], repeats: int) -> dict[str, Any]:
    """Medians of `repeats` runs of everything in turn, after a warm-up; errors against float64."""
    models, loader = job.build(), job.loader()
    names = list(models)
    comparison = ours(models, loader, job.granularity)
    paths = {name: [layer.path for layer in comparison.layers(name)] for name in names}
    pairs = list(itertools.combinations(names, 2))
    first, last = names[0], names[-1]
    truth = expected(models[first], models[last], paths[first], paths[last], loader)
    errors: dict[str, float] = {OURS: float(np.abs(comparison.matrix(first, last) - truth).max())}
    runs: dict[str, Callable[[], Any]] = {
        BARE: lambda: _bare(models, loader),
        OURS: lambda: ours(models, loader, job.granularity),
        OURS_LEAN: lambda: ours(models, loader, job.granularity, "64MiB"),
    }
    failed: dict[str, str] = {}
    for name, rival in rivals.items():
        try:
            with silent():
                found = rival(models[first], models[last], paths[first], paths[last], loader)
            if found.shape != truth.shape:
                raise ValueError(f"gives {found.shape} values for {truth.shape} pairs of layers")
            errors[name] = float(np.abs(found - truth).max())
        except Exception as error:  # what a package cannot do is a result too
            failed[name] = f"{type(error).__name__}: {error}"[:100]
            continue
        runs[name] = lambda rival=rival: [rival(models[a], models[b], paths[a], paths[b], loader) for a, b in pairs]
    seconds = in_turn(runs, repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "title": job.title,
        "layers": {name: len(found) for name, found in paths.items()},
        "seconds": seconds,
        "to_bare_forward": {name: value / medians[BARE] for name, value in medians.items()},
        "times_faster": {name: medians[name] / medians[OURS] for name in rivals if name in medians},
        "largest_error": errors,
        "failed": failed,
        "target": job.target,
        "target_times_faster_than_pytorch_cka": job.target_rival,
    }


def in_turn(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Process CPU seconds of each, one after the other, `repeats` times; slow ones (torch-cka) once."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    slow: set[str] = set()
    for turn in range(repeats + 1):
        for name, run in runs.items():
            if name in slow:
                continue
            start = time.process_time()
            with silent():
                run()
            spent = time.process_time() - start
            if turn:
                seconds[name].append(spent)
            elif name not in (BARE, OURS, OURS_LEAN) and spent > 120:
                seconds[name].append(spent)
                slow.add(name)
    return seconds


def _bare(models: dict[str, nn.Module], loader: DataLoader) -> None:
    with torch.inference_mode():
        for x, _ in loader:
            for model in models.values():
                model(x)


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


__all__ = ["JOBS", "in_turn", "measure", "table"]
