"""Speed, as ratios of process CPU time: ours, its limit and other packages against the bare forward passes, in turn.

Bare forward: the same models in PyTorch's default memory format under `inference_mode`, over the same loader. The other
packages compare one pair of models a call, so that a zoo costs them every pair; each pair's both models run every time.
The limit is what the arithmetic of ours costs (`limit.py`).
"""

from __future__ import annotations

import contextlib
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.competitors import layers_and_matrix, prepare_limit, process, rival_matrix, timed
from tests.benchmarks.jobs import BARE, LIMIT, MAX_MEMORY, OURS, OURS_LEAN, TO_LIMIT, Job, expected
from tests.benchmarks.rivals import PACKAGES

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
        workers = {
            what: stack.enter_context(process(job, what, folder)) for what in (BARE, LIMIT, *MAX_MEMORY, *rivals)
        }
        first, last = job.models[0], job.models[-1]
        paths, found = workers[OURS].submit(layers_and_matrix).result()
        formats = workers[LIMIT].submit(prepare_limit, paths).result()
        truth = _truth(job, paths)
        errors: dict[str, float] = {OURS: float(np.abs(found - truth).max())}
        failed: dict[str, str] = {}
        for name in rivals:
            try:
                found = workers[name].submit(rival_matrix, paths).result()
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
        "to_limit": medians[OURS] / medians[LIMIT],
        "target_to_limit": TO_LIMIT[job.granularity],
        "faster_format": formats,
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
            spent = worker.submit(timed).result()
            if turn:
                seconds[name].append(spent)
            elif name in PACKAGES and spent > SLOW:
                seconds[name].append(spent)
                slow.add(name)
    return seconds


def _truth(job: Job, paths: dict[str, list[str]]) -> np.ndarray:
    models = job.build()
    first, last = job.models[0], job.models[-1]
    return expected(models[first], models[last], paths[first], paths[last], job.loader())


def table(results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of all jobs: cost over that of the bare forward passes, with the largest error in brackets."""
    packages = [name for name in PACKAGES if any(name in found["to_bare_forward"] for found in results.values())]
    head = ["job", "limit", OURS, "ours / limit (target)", "(64MiB)", *packages, "times faster than pytorch-cka"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for found in results.values():
        ratio, error = found["to_bare_forward"], found["largest_error"]
        costs = [f"{ratio[n]:.2f} ({error[n]:.0e})" if n in ratio else "" for n in (OURS, *packages)]
        costs[1:1] = [f"{found['to_limit']:.2f} ({found['target_to_limit']:.2f})", f"{ratio[OURS_LEAN]:.2f}"]
        faster = found["times_faster"].get("pytorch-cka")
        cells = [found["title"], f"{ratio[LIMIT]:.2f}", *costs, "" if faster is None else f"{faster:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        f"\n{name} cannot run the job '{found['title']}': {why}"
        for found in results.values()
        for name, why in found["failed"].items()
    ]
    return "\n".join(lines)
