"""What each measure costs beside CKA, on the same file: CPU time of one matrix of layers by layers, and its ratio."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cka_plugin as cka
from tests.benchmarks.jobs import Job
from tests.support.decompositions import counted

MEASURES = ("cka", "mutual_knn", "rsa", "bures")
SIZES = (64, 256)  # examples a minibatch
MINIBATCHES = 8
PAIR = ("resnet18", "resnet34")


def measure(repeats: int) -> dict[str, Any]:
    """Per size of minibatches and measure: seconds of CPU for one matrix, its ratio to CKA, matrices decomposed."""
    found: dict[str, Any] = {}
    for n in SIZES:
        job = Job("", PAIR, 32, n, MINIBATCHES, "block", 0.0, 0.0)
        with tempfile.TemporaryDirectory() as folder:
            made = cka.compare(job.build(), data=job.loader(), device="cpu", progress=False)
            path = made.save(Path(folder) / "pair.safetensors")
            layers = sum(len(made.layers(name)) for name in made.names)
            rows = {name: _timed(path, name, repeats) for name in MEASURES}
        for row in rows.values():
            row["to_cka"] = row["seconds"] / rows["cka"]["seconds"]
        found[str(n)] = {"layers": layers, "minibatches": MINIBATCHES, "measures": rows}
    return found


def _timed(path: Path, name: str, repeats: int) -> dict[str, Any]:
    """The median over repeats, each on a file opened anew and brought into memory before the clock starts."""
    seconds, decomposed = [], 0
    for _ in range(repeats + 1):
        comparison = cka.load(path)
        for model in comparison.representations.values():
            assert all(len(vectors) for vectors in model.vectors)
        with counted() as calls:
            start = time.process_time()
            comparison.matrix(*PAIR, measure=name)
            seconds.append(time.process_time() - start)
        decomposed = sum(calls)
    return {"seconds": statistics.median(seconds[1:]), "decomposed": decomposed}


def table(found: dict[str, Any]) -> str:
    lines = [
        "| examples a minibatch | " + " | ".join(MEASURES) + " |",
        "|---" * (len(MEASURES) + 1) + "|",
    ]
    for n, row in found.items():
        cells = [f"{own['seconds']:.3f} s ({own['to_cka']:.1f})" for own in row["measures"].values()]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
