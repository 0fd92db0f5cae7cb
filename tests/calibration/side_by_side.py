"""Hits and misses on made and on trained networks side by side: `python -m tests.calibration.side_by_side`.

Writes `tests/calibration/side_by_side.md` (two minutes of one core; `--networks` of each made kind).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tests.calibration.blocks import calibrate
from tests.calibration.trained.judged import judged, table

TOP = """# Block structure: hits and misses

Written by `python -m tests.calibration.side_by_side`. A made network is a hit where a planted block is called strong
within one layer at each end, or one without a block is not called strong. A trained one is a hit where a block seen by
eye is called strong and ends within 15% of the layers of where it was seen, or one without is not called strong; what
was unclear to the eye is open unless it is called strong. The labels, with their figures, are in `trained/`; they were
written before the verdicts were looked at.

"""


def made(networks: int, seed: int) -> str:
    """Verdicts on made networks, by kind."""
    negatives, positives = calibrate(networks, seed)
    lines = ["| made, without a block | strong | weak | none | hits |", "|---|---|---|---|---|"]
    for name, counts in negatives.items():
        cells = " | ".join(str(counts[verdict]) for verdict in ("strong", "weak", "none"))
        lines.append(f"| {name.replace('_', ' ')} | {cells} | {networks - counts['strong']} of {networks} |")
    lines += ["", "| made, with a block | found | missed | hits |", "|---|---|---|---|"]
    for name, counts in positives.items():
        found, missed = counts["found"], counts["missed"]
        lines.append(f"| {name} | {found} | {missed} | {found} of {networks} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=30, help="of each made kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    notes = (Path(__file__).parent / "trained" / "notes.md").read_text(encoding="utf-8")
    text = f"{TOP}{made(given.networks, given.seed)}\n\n{table(judged())}\n\n{notes}"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
