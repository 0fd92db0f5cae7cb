"""What one GPU shows, in one go: `python -m tests.gpu [--rivals DIR] [--out DIR]`, at most 8 minutes on one device.

It needs a checkout, torch, timm and the package, and checks and measures (1) accuracy on the device, settings left as
found, no waiting in hooks, compiled models, streams, and running out of memory; (2) ResNet-18 on 12 minibatches of
1,000 images, beside pytorch-cka and torch-cka where `--rivals` has them (`tests/benchmarks/rivals.py` says how to
install them); (3) multiples of the bare forward passes; (4) a folder of JPEGs; (5) products in TF32 and bfloat16. It
prints each as it is known, and writes `gpu.json` and `gpu.md`; the exit code is 1 where something failed.

`--device cpu --quick` runs all of it small, in under a minute, where there is no GPU: what needs CUDA is then said to
be not applicable, never to have passed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.machine import machine
from tests.gpu.checks import checks
from tests.gpu.products import cuts, precisions
from tests.gpu.record import Record, Size
from tests.gpu.speed import beside_others, from_folder, multiples

MINUTES = 8.0


def main(given: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what is not begun by then is left out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rivals", type=Path, help="folder with one folder a package")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for gpu.json and gpu.md")
    chosen = parser.parse_args(given)
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu --quick shows that the script runs")
    started = time.monotonic()
    repeats = 1 if chosen.quick else chosen.repeats
    record = Record(device, Size(chosen.quick), started + 60 * (chosen.minutes - 0.5))
    checks(record)
    beside_others(record, chosen.rivals, repeats)
    multiples(record, min(repeats, 3))
    from_folder(record)
    precisions(record)
    cuts(record)
    found = {"machine": {**machine(), **_device(device)}, "seconds": time.monotonic() - started, **record.plain()}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "gpu.json").write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")
    (chosen.out / "gpu.md").write_text(f"{record.table()}\n", encoding="utf-8")
    print(f"\n{record.table()}\n\n{found['seconds']:.0f} s on {_device(device)}; {len(record.failed)} failed")
    return 1 if record.failed else 0


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"gpu": "none was seen"}
    about = torch.cuda.get_device_properties(device)
    return {"gpu": about.name, "memory": about.total_memory, "cuda": torch.version.cuda}


if __name__ == "__main__":
    sys.exit(main())
