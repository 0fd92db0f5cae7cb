"""1,000,000 made examples through a narrow network, as sketches: what memory takes, at 10,000 to 1,000,000.

Each number of examples in a process of its own; the examples are made as they are read, so that none lie in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COUNTS = (10_000, 100_000, 1_000_000)
N = 256


def measure(repeats: int) -> dict[str, Any]:
    """One run of each number: seconds, bytes of the file, and peak resident bytes beyond those before it."""
    found = {}
    for count in COUNTS:
        command = [sys.executable, "-m", "tests.benchmarks.million", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[str(count)] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(count: int) -> dict[str, Any]:
    """Represent so many examples, save, load and compare, in this process."""
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset

    import cka_plugin as cka
    from tests.benchmarks.sketch import FEATURES, Narrow, examples

    known = examples(4096)

    class Made(Dataset[Tensor]):
        """Examples that are made as they are read: one of 4,096 with some of another in it, so that none come twice."""

        def __len__(self) -> int:
            return count

        def __getitem__(self, place: int) -> Tensor:
            return known[place % 4096] + known[place // 4096] / 2 + place * 1e-6

    assert known.shape[1] == FEATURES
    torch.set_num_threads(1)
    options = {"batch_size": N, "granularity": "module", "device": "cpu", "progress": False, "sketch": 1024}
    cka.represent(Narrow(0).eval(), known[:1024], **options)  # what is imported and kept from a first run
    before = _peak_from_here()
    started, used = time.perf_counter(), time.process_time()
    made = cka.represent({"net": Narrow(0).eval()}, Made(), workers=0, **options)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = _status("VmHWM") - before
    vectors = sum(minibatch.vectors.nbytes for minibatch in made.minibatches)
    whole = sum(len(made.layers) * n * (n - 1) // 2 * 4 for n in made.batch_sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = made.save(Path(folder) / "net.safetensors")
        size = path.stat().st_size
        comparison = cka.compare(cka.load(path))
        error = float(comparison.sketch_error().max())
    return {
        "examples": count, "layers": len(made.layers), "seconds": seconds, "CPU seconds": cpu, "peak": peak,
        "vectors": vectors, "whole Gram vectors would be": whole, "file": size, "largest standard error": error,
    }  # fmt: skip


def _peak_from_here() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024


def table(found: dict[str, Any]) -> str:
    """A Markdown table, a row a number of examples."""
    head = ["examples", "peak MB", "of it vectors", "whole ones would be", "bytes an example beside", "file MB",
            "CPU seconds", "largest standard error"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in found.values():
        beside = (row["peak"] - row["vectors"]) / row["examples"]
        cells = [f"{row['examples']:,}", f"{row['peak'] / 1e6:.0f}", f"{row['vectors'] / 1e6:.0f}"]
        cells += [f"{row['whole Gram vectors would be'] / 1e6:,.0f}", f"{beside:.0f}", f"{row['file'] / 1e6:.0f}"]
        cells += [f"{row['CPU seconds']:.0f}", f"{row['largest standard error']:.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
