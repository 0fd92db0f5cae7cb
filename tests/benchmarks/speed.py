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

from tests.benchmarks.jobs import JOBS, Job, expected, ours
from tests.benchmarks.rivals import Rival, silent


def measure(job: Job, rivals: dict[str, Rival], repeats: int) -> dict[str, Any]:
    """Medians of `repeats` runs of everything in turn, after a warm-up; errors against float64."""
    models, loader = job.build(), job.loader()
    names = list(models)
    comparison = ours(models, loader, job.granularity)
    paths = {name: [layer.path for layer in comparison.layers(name)] for name in names}
    pairs = list(itertools.combinations(names, 2))
    first, last = names[0], names[-1]
    truth = expected(models[first], models[last], paths[first], paths[last], loader)
    errors: dict[str, float] = {"cka_plugin": float(np.abs(comparison.matrix(first, last) - truth).max())}
    runs: dict[str, Callable[[], Any]] = {
        "bare forward": lambda: _bare(models, loader),
        "cka_plugin": lambda: ours(models, loader, job.granularity),
    }
    failed: dict[str, str] = {}
    for name, rival in rivals.items():
        try:
            with silent():
                found = rival(models[first], models[last], paths[first], paths[last], loader)
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
        "to_bare_forward": {name: value / medians["bare forward"] for name, value in medians.items()},
        "times_faster": {name: medians[name] / medians["cka_plugin"] for name in rivals if name in medians},
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
            elif name not in ("bare forward", "cka_plugin") and spent > 120:
                seconds[name].append(spent)
                slow.add(name)
    return seconds


def _bare(models: dict[str, nn.Module], loader: DataLoader) -> None:
    with torch.inference_mode():
        for x, _ in loader:
            for model in models.values():
                model(x)


def table(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of all jobs."""
    lines = [
        "| job | bare forward | cka_plugin | target | pytorch-cka | times faster | error, ours | error, pytorch-cka |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in results.values():
        ratio, error = found["to_bare_forward"], found["largest_error"]
        rival, faster = ratio.get("pytorch-cka"), found["times_faster"].get("pytorch-cka")
        lines.append(
            f"| {found['title']} | 1 | {ratio['cka_plugin']:.2f} | {found['target']:.2f} | "
            f"{'' if rival is None else f'{rival:.2f}'} | {'' if faster is None else f'{faster:.1f}'} | "
            f"{error['cka_plugin']:.0e} | {'' if rival is None else format(error['pytorch-cka'], '.0e')} |"
        )
    return "\n".join(lines)


__all__ = ["JOBS", "in_turn", "measure", "table"]
