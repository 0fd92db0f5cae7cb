"""Do wide and deep networks of one accuracy err on the same crops? And CNN and Transformer? `python study.py [FOLDER]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; their predictions are then written to
`predictions.npz` in `--out`. Without FOLDER, or with `--quick`, the predictions kept beside this file are used. Writes
`tables.md`, `classes.png` and `examples.png` to `--out`.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from pictures import draw_classes, draw_crops
from seeds import KEPT, arguments, by_setting, mean, table, trained, write
from train import load

import cka_plugin as cka
from cka_plugin import sample

GROUPS = {"wide and deep": ("wide", "deep"), "cnn and transformer": ("cnn", "transformer")}
MARGIN = 0.05  # of mean accuracy: about as much as seeds of one setting differ by
HELD_OUT = "Classes chosen by half of the seeds, on the others"
TABLES = {"Grey and coloured photographs": "super_classes", "Classes": "classes", HELD_OUT: "held_out"}
GREY = {"brick", "camera", "coins", "grass", "gravel", "moon"}
X, LABELS, _ = sample.crops()
CLASSES = sample.CROP_CLASSES


def predicted(folder: Path, out: Path) -> None:
    """Class scores of every network for the test crops, one array a group, as float16."""
    scores = {}
    for family, groups in GROUPS.items():
        made = trained(folder, family)
        for group, names in zip(groups, by_setting(made).values(), strict=True):
            nets = (load(folder, made[name]) for name in names)
            found = [cka.represent(net, X, granularity="stage", progress=False) for net in nets]
            in_order = [one.logits[np.argsort(one.example_ids)] for one in found]  # arrays are read shuffled
            scores[group] = np.stack(in_order).astype(np.float16)
    np.savez_compressed(out, **scores)


def compared(scores: dict[str, list[np.ndarray]], groups: tuple[str, str]) -> Any:
    """The package's comparison of two groups of networks."""
    colours = {name: "grey photographs" if name in GREY else "coloured photographs" for name in CLASSES}
    options = {"names": groups, "super_classes": colours, "margin": MARGIN}
    return cka.compare_groups(scores[groups[0]], scores[groups[1]], LABELS, CLASSES, **options)


def interval(row: Any) -> str:
    known = f" [{row.low:+.1%}, {row.high:+.1%}], p = {row.p:.2g}" if row.p == row.p else " (all seeds alike)"
    return f"{row.difference:+.1%}{known}"


def accuracy(found: list[Any]) -> list[str]:
    """A row a pair of groups: mean accuracies and whether they are equal."""
    rows = []
    for groups in found:
        cells = [mean(list(values), ".1%") for values in (groups.accuracies_a, groups.accuracies_b)]
        count = f"{len(groups.accuracies_a)} and {len(groups.accuracies_b)}"
        rows.append([" and ".join(groups.names), count, *cells, interval(groups.overall), groups.verdict])
    header = ["groups", "networks", "first", "second", "first less second (Welch)", f"verdict, margin {MARGIN:.0%}"]
    return table(header, rows)


def crops(found: list[Any]) -> list[str]:
    """A row a pair of groups: what differs on single crops, beside what differs between seeds of one group."""
    rows = []
    for groups in found:
        c, test, centred, share = groups.control, groups.example_test, groups.example_test_centred, groups.class_share
        gaps = f"{c.gap_between:.3f}, {c.gap_within_a:.3f}, {c.gap_within_b:.3f}"
        flagged = f"{c.classes_between:.1f}, {c.classes_within_a:.1f}, {c.classes_within_b:.1f}"
        v = f"{share.v_squared:.2f} (chance {share.chance:.2f})" if not share.reason else f"- ({share.reason})"
        p = f"{test.p:.2g} and {centred.p:.2g} (least possible {test.smallest_p:.2g})"
        rows.append([" and ".join(groups.names), c.seeds, gaps, flagged, p, v])
    header = ["groups", "seeds a side", "gap on single crops: between, within first, within second"]
    return table([*header, "classes with p <= 0.05: likewise", "p, and of equal accuracy", "v²"], rows)


def classes(found: list[Any], which: str) -> list[str]:
    """A row a class, super-class or held-out class of each pair of groups, the most certain first."""
    rows = []
    for groups in found:
        for row in sorted(getattr(groups, which), key=lambda row: row.p):
            corrected = "-" if which == "held_out" else f"{row.p_corrected:.2g}"
            rows.append([" and ".join(groups.names), row.name, interval(row), corrected])
    return table(["groups", "class", "accuracy of first less second", "p corrected"], rows) if rows else ["None."]


def draw_examples(found: list[Any], path: Path) -> None:
    """The crops on which the groups differ most, either way, with the share of each group that is right."""
    rows = []
    for groups in found:
        gap = groups.example_accuracy_a - groups.example_accuracy_b
        for better, order in zip(groups.names, (np.argsort(-gap), np.argsort(gap)), strict=True):
            shares = zip(groups.example_accuracy_a[order], groups.example_accuracy_b[order], strict=True)
            titles = [f"{CLASSES[c][:9]}\n{a:.0%}, {b:.0%}" for c, (a, b) in zip(LABELS[order], shares, strict=True)]
            rows.append((f"{better} better\n({', '.join(groups.names)})", order, titles))
    draw_crops(rows, path)


def main() -> None:
    given = arguments(__file__, __doc__.splitlines()[0])
    plt.switch_backend("Agg")
    kept = Path(__file__).parent if given.folder == KEPT else given.out
    if given.folder != KEPT:
        predicted(given.folder, given.out / "predictions.npz")
    with np.load(kept / "predictions.npz") as file:
        scores = {group: list(file[group].astype(np.float32)) for group in file.files}
    found = [compared(scores, groups) for groups in GROUPS.values()]
    parts = [part for title, which in TABLES.items() for part in (f"## {title}", *classes(found, which))]
    write(given.out, ["# Tables", "## Accuracy", *accuracy(found), "## Single crops", *crops(found), *parts])
    draw_classes(found, given.out / "classes.png")
    draw_examples(found, given.out / "examples.png")


if __name__ == "__main__":
    main()
