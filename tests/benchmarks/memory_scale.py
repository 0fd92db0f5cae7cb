"""Peak memory of a large run: 50,000 examples and the 159 leaf modules of ResNet-50, with a budget for the vectors.

    python -m tests.benchmarks.memory_scale [--examples 50000] [--size 8] [--batch-size 64] [--max-memory 256MiB]

Prints, after each step, the resident memory of the process, its peak, and how much of that is private (what is mapped
from files counts as resident while the system has room, and gives way when it has not).
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

import cka_plugin as cka


class Noise(Dataset[Tensor]):
    """Images with something in common between their pixels, made when they are read: they take no memory."""

    def __init__(self, examples: int, size: int) -> None:
        self.examples, self.size = examples, size

    def __len__(self) -> int:
        return self.examples

    def __getitem__(self, place: int) -> Tensor:
        generator = torch.Generator().manual_seed(place)
        return torch.randn(3, self.size, self.size, generator=generator) + torch.randn(3, 1, 1, generator=generator)


def memory() -> tuple[float, float, float]:
    """Resident, private and peak resident memory of this process, in GiB (Linux)."""
    fields = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        fields[name] = value
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kib = [int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon")]
    return kib[0] / 2**20, kib[1] / 2**20, peak / 2**20


def main() -> None:
    """Run, save, load and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--max-memory", default="256MiB")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--model", default="torchvision:resnet50")
    given = parser.parse_args()
    started = time.perf_counter()

    def report(step: str) -> None:
        resident, private, peak = memory()
        print(
            f"{step:42} {time.perf_counter() - started:7.0f} s   resident {resident:5.2f}   private {private:5.2f}   "
            f"peak {peak:5.2f} GiB",
            flush=True,
        )

    report("imports")
    representation = cka.represent(
        given.model,
        Noise(given.examples, given.size),
        granularity="module",
        batch_size=given.batch_size,
        passes=given.passes,
        pretrained=False,
        max_memory=given.max_memory,
        progress=False,
    )
    size = sum(vectors.nbytes for vectors in representation.vectors) / 2**30
    report(f"{len(representation.layers)} layers, {size:.2f} GiB of vectors")
    matrix = cka.compare(representation).matrix()
    report("all pairs of layers")
    with tempfile.TemporaryDirectory() as folder:
        path = representation.save(os.path.join(folder, "large.safetensors"))
        report(f"saved, {path.stat().st_size / 2**30:.2f} GiB")
        again = cka.compare(cka.load(path))
        assert np.array_equal(again.matrix(), matrix, equal_nan=True)
        again.interval()
        report("loaded and compared, with intervals")


if __name__ == "__main__":
    main()
