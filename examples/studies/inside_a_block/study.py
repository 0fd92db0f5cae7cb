"""What makes a block structure, and which examples? `python study.py [FOLDER] [--quick]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; with `--quick`, or without it, these are the networks
kept in `../photographs/weights`. Writes `tables.md`, `component.png` and `dominant.png` to `--out`.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from pictures import draw_components, draw_crops
from seeds import TOP, arguments, by_setting, compared, inside, mean, strong, table, write

import cka_plugin as cka
from cka_plugin import sample

STATISTICS = ("brightness", "contrast", "saturation", "red less blue", "edges")


def pairs_mean(matrix: np.ndarray, rows: np.ndarray) -> float:
    """Mean over two different layers of those chosen."""
    chosen = matrix[np.ix_(rows, rows)]
    return float(chosen[~np.eye(len(chosen), dtype=bool)].mean()) if len(chosen) > 1 else float("nan")


def causes(comparison: cka.Comparison) -> list[str]:
    """A row a setting: first components inside strong blocks and outside, and what their removal leaves."""
    rows = []
    for group, names in by_setting(comparison.names).items():
        for where in ("inside", "outside"):
            figures = []
            for name in names:
                s, mask = comparison.block_structure(name), inside(comparison, name)
                mask = mask if where == "inside" else ~mask
                if mask.any():
                    both = (s.matrix, s.first_component_cosine, s.matrix_without_first_component)
                    figures.append([s.first_component_share[mask].mean(), *(pairs_mean(m, mask) for m in both)])
            if figures:
                rows.append([group, where, len(figures), *(mean(column) for column in np.transpose(figures).tolist())])
    return table(["setting", "layers", "networks", "PC1 share", "CKA", "cos² of PC1", "CKA without PC1"], rows)


def removals(comparison: cka.Comparison) -> list[str]:
    """A row a setting: what is left of the largest strong block without its component, or without dominant crops."""
    rows = []
    for group, names in by_setting(strong(comparison)).items():
        blocks = [comparison.block_structure(name).blocks[0] for name in names]
        ends = [[b.contrast for b in blocks], [b.contrast_without_shared_component for b in blocks]]
        left = [comparison.without_dominant_examples(name) for name in names]
        kept = [[without.means()[i] for without in left] for i in (0, 1, 3)]
        off = [[len(cka.find_block_structure(m).blocks) > 0 for m in (w.matrix, w.left_out[-1].matrix)] for w in left]
        counts = [f"{sum(each)} of {len(off)}" for each in zip(*off, strict=True)]
        rows.append([group, *map(mean, [*ends, *kept]), *counts])
    header = ["setting", "contrast at the ends", "without the shared component", "CKA inside", "without 1% of crops"]
    return table([*header, "without 10%", "set off with all crops", "without 10%"], rows)


def low_level() -> np.ndarray:
    """(crops, statistics) what can be said of a crop whatever it shows, each as its rank among all, 0 to 1."""
    x = sample.crops()[0].numpy()
    grey = x.mean(axis=1)
    edges = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    columns = [grey.mean(axis=(1, 2)), grey.std(axis=(1, 2)), np.ptp(x, axis=1).mean(axis=(1, 2))]
    columns += [(x[:, 0] - x[:, 2]).mean(axis=(1, 2)), edges]
    return (stats.rankdata(np.column_stack(columns), axis=0) - 1) / (len(x) - 1)


def alike(comparison: cka.Comparison) -> list[str]:
    """Are the dominant crops of a network more alike than as many others, and in what?"""
    looks, rng = low_level(), np.random.default_rng(0)
    rows, ratios = [], []
    for name in strong(comparison):
        top = comparison.block_structure(name).blocks[0].dominant_examples[:TOP]
        spread = looks[top].var(axis=0).sum()
        null = [looks[rng.choice(len(looks), TOP, replace=False)].var(axis=0).sum() for _ in range(999)]
        ratios.append(spread / np.mean(null))
        p = (1 + np.sum(np.array(null) <= spread)) / 1000
        classes = np.bincount(sample.crops()[1][top], minlength=14)
        most = ", ".join(f"{sample.CROP_CLASSES[c]} {classes[c]}" for c in np.argsort(-classes)[:3])
        rows.append([name, f"{ratios[-1]:.2f}", f"{p:.3f}", *(f"{rank:.2f}" for rank in looks[top].mean(axis=0)), most])
    header = ["network", "variance, of others'", "p", *STATISTICS, "photographs"]
    return [*table(header, rows), "", f"- variance of the looks of dominant crops, of that of others: {mean(ratios)}"]


def main() -> None:
    given = arguments(__file__, __doc__.splitlines()[0])
    plt.switch_backend("Agg")
    _, comparison = compared(given.folder, ["depth"])["depth"]
    parts = ["# Tables", "## First components inside strong blocks and outside", *causes(comparison)]
    parts += ["## Strong blocks without what makes them", *removals(comparison)]
    write(given.out, [*parts, "## How dominant crops look", *alike(comparison)])
    largest = max(strong(comparison), key=lambda name: inside(comparison, name).sum())
    shown = [next(name for name in comparison.names if name.startswith("d14")), largest]
    draw_components(comparison, shown, given.out / "component.png")
    rows = [(name, comparison.block_structure(name).blocks[0].dominant_examples, []) for name in strong(comparison)]
    draw_crops(rows, given.out / "dominant.png", columns=16)


if __name__ == "__main__":
    main()
