"""Verdicts on the kept networks beside their labels: `python -m tests.calibration.trained.judged`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from cka_plugin.analysis.blocks.detector import BlockStructure, block_structure
from cka_plugin.analysis.blocks.runs import edge_width
from tests.calibration.trained.figures import HERE
from tests.calibration.trained.kept import read

SETS = ("tuned", "held out", "later", "fresh", "last")


@dataclass(frozen=True)
class Label:
    """What was seen in a figure; see `labels.json`."""

    name: str
    label: str
    first: int | None
    last: int | None
    day: str
    set: str
    why: str


def labels() -> list[Label]:
    """All labels, in the order of names."""
    stored = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))["networks"]
    return [Label(name=name, **entry) for name, entry in stored.items()]


def at_its_place(label: Label, structure: BlockStructure) -> bool:
    """Whether a block lies where it was seen, each end within as many layers as an end may be spread over."""
    if label.first is None or label.last is None:
        return False
    slack = edge_width(len(structure.layers))
    return any(
        abs(block.start - label.first) <= slack and abs(block.stop - 1 - label.last) <= slack
        for block in structure.blocks
    )


def outcome(label: Label, structure: BlockStructure) -> str:
    """`hit`, `miss` or `false alarm`; what was unclear to the eye is `open` unless it is called strong."""
    if label.label == "block":
        return "hit" if structure.verdict == "strong" and at_its_place(label, structure) else "miss"
    if structure.verdict == "strong":
        return "false alarm"
    return "hit" if label.label == "none" else "open"


def judged() -> list[tuple[Label, BlockStructure]]:
    """Every kept network with its label."""
    return [(label, block_structure(read(label.name))) for label in labels()]


def table(found: list[tuple[Label, BlockStructure]]) -> str:
    """One row a network, then verdicts by label and set."""
    lines = [
        "| trained network | set | by eye | verdict | blocks | components | missing | outcome |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for label, structure in found:
        seen = label.label if label.first is None else f"{label.label}, {label.first} to {label.last}"
        blocks = structure.blocks
        cells = [
            label.name,
            label.set,
            seen,
            structure.verdict,
            "; ".join(f"{block.start} to {block.stop - 1}" for block in blocks),
            "; ".join(str(block.components_to_dissolve or "") for block in blocks),
            "; ".join(", ".join(block.missing) for block in blocks),
            outcome(label, structure),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| trained, by eye | set | strong | weak | none | hits |", "|---|---|---|---|---|---|"]
    for kind in ("block", "unclear", "none"):
        for part in SETS:
            rows = [(label, structure) for label, structure in found if (label.label, label.set) == (kind, part)]
            counts = Counter(structure.verdict for _, structure in rows)
            hits = sum(outcome(*row) in ("hit", "open") for row in rows)
            cells = [kind, part, *(str(counts[verdict]) for verdict in ("strong", "weak", "none"))]
            lines.append(f"| {' | '.join(cells)} | {hits} of {len(rows)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(judged()))
