"""All benchmarks: `python -m tests.benchmarks [speed|memory|pages|... ...] --out DIR`.

Each prints its table; with `--out`, results go there as JSON, with the machine and the versions beside them. How to
install the other packages: see `tests.benchmarks.rivals`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks import (
    accuracy,
    chart_libraries,
    coming,
    disk,
    formats,
    growth,
    measures,
    memory,
    million,
    pages,
    sketch,
    speed,
    start,
    zoo,
)
from tests.benchmarks.jobs import JOBS
from tests.benchmarks.machine import machine
from tests.benchmarks.rivals import installed

BENCHMARKS = (
    *("speed", "memory", "growth", "formats", "accuracy", "measures", "pages", "chart_libraries"),
    *("coming", "disk", "start", "sketch", "million", "zoo"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", choices=[*BENCHMARKS, []], help="which; all by default")
    parser.add_argument("--rivals", type=Path, help="folder with one folder a package")
    parser.add_argument("--only", nargs="*", default=[], help="of these packages; all by default")
    parser.add_argument("--jobs", nargs="*", choices=list(JOBS), default=list(JOBS), help="jobs of `speed`")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for JSON")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rivals = {name: run for name, run in installed(chosen.rivals).items() if not chosen.only or name in chosen.only}
    for which in chosen.which or BENCHMARKS:
        if which == "speed":
            found: Any = {}
            for job in chosen.jobs:
                found[job] = speed.measure(JOBS[job], list(rivals), chosen.rivals, chosen.repeats)
                print(job, {name: round(ratio, 3) for name, ratio in found[job]["to_bare_forward"].items()}, flush=True)
                _keep(chosen.out, which, found)
            text = speed.table(found)
        elif which == "memory":
            found = memory.measure(list(rivals), chosen.rivals, chosen.repeats)
            text = memory.table(found)
        elif which == "accuracy":
            found = accuracy.measure(rivals)
            text = accuracy.table(found)
        elif which == "coming":
            found = coming.measure(rivals, chosen.rivals)
            text = coming.table(found)
        else:
            module: Any = {
                "growth": growth,
                "formats": formats,
                "measures": measures,
                "pages": pages,
                "chart_libraries": chart_libraries,
                "disk": disk,
                "start": start,
                "sketch": sketch,
                "million": million,
                "zoo": zoo,
            }[which]
            found = module.measure(chosen.repeats)
            text = module.table(found)
        print(f"\n{text}\n", flush=True)
        _keep(chosen.out, which, found)


def _keep(folder: Path | None, which: str, found: Any) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine(), "results": found}, indent=1)
        (folder / f"{which}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
