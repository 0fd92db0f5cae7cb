"""Width, depth and data: when do residual networks grow a block structure? `python study.py [FOLDER] [--quick]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; with `--quick`, or without it, these are the networks
kept in `../photographs/weights`. Writes `tables.md`, `heatmaps.png` and `shares.png` to `--out`.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from seeds import Family, arguments, by_setting, compared, difference, mean, setting, table, write
from train import Settings

import cka_plugin as cka

FACTORS = {
    "depth": "depth",
    "same crops": "depth",
    "same training": "depth",
    "width": "width",
    "data": "n_train",
    "digits": "depth",
}
WHAT = {
    "depth": "Depth, equal accuracy by fewer crops for shallow networks",
    "same crops": "Depth, equal accuracy by fewer epochs for shallow networks",
    "same training": "Depth, at equal crops and epochs",
    "width": "Width, at depth 14",
    "data": "Number of training crops, at depth 38",
    "digits": "Depth, on digits",
}
NONE = ["No network of this family is here."]


def share(comparison: cka.Comparison, name: str) -> float:
    """Of the layers, how many lie in strong blocks."""
    structure = comparison.block_structure(name)
    return sum(len(block) for block in structure.blocks if block.verdict == "strong") / len(structure.layers)


def of_settings(family: str, made: dict[str, Settings], comparison: cka.Comparison) -> list[str]:
    """A row a setting, means over seeds; does the share of layers in blocks go with the factor over networks?"""
    groups, factor, rows = by_setting(made), FACTORS[family], []
    shares = {name: share(comparison, name) for name in made}
    right = {name: comparison[name].accuracy for name in made}
    for group, names in groups.items():
        found = [comparison.block_structure(name) for name in names]
        off = ~np.eye(len(found[0].layers), dtype=bool)
        strong = f"{sum(structure.verdict == 'strong' for structure in found)} of {len(names)}"
        numbers = ([np.max(one.first_component_share) for one in found], [one.matrix[off].mean() for one in found])
        parts = (strong, mean([shares[n] for n in names]), *(mean(values) for values in numbers))
        rows.append([f"*{group}*", mean([right[n] for n in names], ".1%"), *parts])
    header = ["setting", "accuracy", "strong", "layers in strong blocks", "largest PC1 share", "mean CKA"]
    lines = [*table(header, rows), ""]
    if len(groups) > 1:
        known = {n: {factor: getattr(s, factor), "strong_share": shares[n]} for n, s in made.items()}
        summary = comparison.summary(known)
        first, *_, last = groups.values()
        pair = f"{setting(last[0])} less {setting(first[0])}"
        for what, values, form in (("layers in strong blocks", shares, "+.2f"), ("accuracy", right, "+.1%")):
            lines.append(f"- {what}, {pair}: {difference([values[n] for n in last], [values[n] for n in first], form)}")
        lines += [f"- {summary.relate(x, 'strong_share')!r}" for x in (factor, "accuracy")]
    return lines


def of_networks(found: dict[str, Family]) -> list[str]:
    """A row a network: its largest block and what that rests on."""
    rows = {}
    for family, (made, comparison) in found.items():
        for name in made:
            structure, cells = comparison.block_structure(name), ["-"] * 5
            for b in structure.blocks[:1]:
                numbers = (b.mean_similarity, b.similarity_without_first_component, b.first_component_share)
                where = f"{b.layers[0]} to {b.layers[-1]} ({len(b)} of {len(structure.layers)})"
                cells = [where, *(f"{value:.2f}" for value in (*numbers, b.first_component_cosine))]
            data = "digits" if family == "digits" else "crops"
            rows[data, name] = [name, f"{comparison[name].accuracy:.1%}", structure.verdict, data, *cells]
    header = ["network", "accuracy", "verdict", "data", "largest block", "mean CKA", "without PC1", "PC1 share", "cos²"]
    return table(header, rows.values())


def draw(found: dict[str, Family], out: Path) -> None:
    """CKA of the first seed of every setting with itself; share of layers in strong blocks, a dot a network."""
    figure, axes = plt.subplots(len(found), 4, figsize=(9, 2.4 * len(found)), squeeze=False)
    dots, beside = plt.subplots(1, len(found), figsize=(2.4 * len(found), 2.6), sharey=True, squeeze=False)
    for row, axis, (family, (made, comparison)) in zip(axes, beside.flat, found.items(), strict=True):
        groups, factor = by_setting(made), FACTORS[family]
        for place, (cell, names) in enumerate(zip(row, groups.values(), strict=False)):
            structure = comparison.block_structure(names[0])
            cell.imshow(structure.matrix, vmin=0, vmax=1, cmap="magma", origin="lower")
            cell.set_title(f"{family}: {names[0]}\n{structure.verdict}", fontsize=8)
            values = [share(comparison, name) for name in names]
            axis.plot(place + np.linspace(-0.15, 0.15, len(values)), values, "o", color="tab:blue", ms=4, alpha=0.7)
            axis.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color="black", lw=1)
        labels = [getattr(made[names[0]], factor) for names in groups.values()]
        axis.set(xticks=range(len(labels)), xticklabels=labels, xlabel=factor, title=family, ylim=(-0.05, 1.05))
        for cell in row:
            cell.axis("off")
    beside[0, 0].set_ylabel("layers in strong blocks")
    for drawn, name in ((figure, "heatmaps.png"), (dots, "shares.png")):
        drawn.tight_layout()
        drawn.savefig(out / name, dpi=70)


def main() -> None:
    given = arguments(__file__, __doc__.splitlines()[0])
    plt.switch_backend("Agg")
    found, parts = compared(given.folder, FACTORS), ["# Tables"]
    for family, what in WHAT.items():
        parts += [f"## {what}", *(of_settings(family, *found[family]) if family in found else NONE)]
    write(given.out, [*parts, "## Networks", *of_networks(found)])
    draw(found, given.out)


if __name__ == "__main__":
    main()
