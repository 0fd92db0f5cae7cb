"""Width, depth and data: when do residual networks grow a block structure? `python study.py [FOLDER] [--quick]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; without it, the networks kept in `weights`. Writes
`tables.md`, `heatmaps.png` and `dominant.png` to `--out`.
"""

import argparse
import json
import sys
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from train import Settings, load

import cka_plugin as cka
from cka_plugin import sample

HERE = Path(__file__).parent
FACTORS = ("depth", "width", "n_train", "parameters", "accuracy")


def networks(folder: Path, quick: bool) -> dict[str, Settings]:
    """Residual networks on crops of 16 pixels by short names; for `--quick` two shallow and one deep."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("residual-*crops*x16-*.json")]
    made = [Settings(**{key: one[key] for key in Settings.__dataclass_fields__}) for one in found]
    made.sort(key=lambda s: (s.depth, s.width, s.n_train, s.seed))
    named = {f"d{s.depth} w{s.width} n{s.n_train} s{s.seed}": s for s in made}
    return {n: s for n, s in named.items() if s.depth == 14 or n.startswith("d56 w1 n500 s1")} if quick else named


def blocks(comparison: cka.Comparison) -> list[str]:
    """The largest block of each network, and what it rests on."""
    head = "| network | accuracy | verdict | largest block | mean CKA | without PC1 | PC1 share | cos² |"
    lines = [head, "|---" * 8 + "|"]
    for name in comparison.names:
        found = comparison.block_structure(name)
        cells = ["-"] * 5
        if found.blocks:
            b = found.blocks[0]
            numbers = (b.mean_similarity, b.similarity_without_first_component, b.first_component_share)
            where = f"{b.layers[0]} to {b.layers[-1]} ({len(b)} of {len(found.layers)})"
            cells = [where, *(f"{value:.2f}" for value in (*numbers, b.first_component_cosine))]
        lines.append(f"| {name} | {comparison[name].accuracy:.1%} | {found.verdict} | {' | '.join(cells)} |")
    return lines


def seeds(comparison: cka.Comparison, made: dict[str, Settings]) -> list[str]:
    """Two seeds of one setting: CKA at equal depth in strong blocks of either and outside, and dominant examples."""
    lines = ["| seeds | CKA within blocks of either | outside | top 10% dominant examples in common (chance 10%) |"]
    lines.append("|---|---|---|---|")
    for a, b in combinations(made, 2):
        if a.rsplit(" ", 1)[0] != b.rsplit(" ", 1)[0]:
            continue
        strong = [[x for x in comparison.block_structure(n).blocks if x.verdict == "strong"] for n in (a, b)]
        equal = np.diag(comparison.matrix(a, b))
        inside = np.zeros(len(equal), dtype=bool)
        for block in (*strong[0], *strong[1]):
            inside[block.start : block.stop] = True
        means = [f"{equal[rows].mean():.2f} ({rows.sum()})" if rows.any() else "-" for rows in (inside, ~inside)]
        shared = "-"
        if all(strong):
            top = [set(blocks[0].dominant_examples[: comparison[a].n_examples // 10]) for blocks in strong]
            shared = f"{len(top[0] & top[1]) / len(top[0]):.0%}"
        lines.append(f"| {a} and {b.rsplit(' ', 1)[1]} | {' | '.join(means)} | {shared} |")
    return lines


def draw(comparison: cka.Comparison, out: Path) -> None:
    """CKA of each network with itself; and the crops that dominate each strong block."""
    names = comparison.names
    figure, axes = plt.subplots(-(-len(names) // 6), 6, figsize=(12, 2.2 * -(-len(names) // 6)), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        axis.imshow(comparison.matrix(name), vmin=0, vmax=1, cmap="magma", origin="lower")
        axis.set_title(f"{name}: {comparison.block_structure(name).verdict}", fontsize=8)
    figure.savefig(out / "heatmaps.png", dpi=70, bbox_inches="tight")
    pictures, _, _ = sample.crop_images()
    strong = [n for n in names if comparison.block_structure(n).verdict == "strong"]
    figure, axes = plt.subplots(max(len(strong), 1), 12, figsize=(9, 0.8 * max(len(strong), 1)), squeeze=False)
    for row, name in zip(axes, strong, strict=False):
        for axis, which in zip(row, comparison.block_structure(name).blocks[0].dominant_examples, strict=False):
            axis.imshow(pictures[which])
        row[0].set_ylabel(name, rotation=0, ha="right", fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(out / "dominant.png", dpi=70, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "weights")
    parser.add_argument("--quick", action="store_true", help="three networks")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    plt.switch_backend("Agg")
    made = networks(given.folder, given.quick)
    models = {name: load(given.folder, settings) for name, settings in made.items()}
    images, labels, _ = sample.crops()
    comparison = cka.compare(models, data=(images, labels), progress=False)
    factors = {n: {"depth": s.depth, "width": s.width, "n_train": s.n_train} for n, s in made.items()}
    summary = comparison.summary(factors)
    related = [f"- {summary.relate(factor, 'block_share')!r}" for factor in FACTORS]
    parts = ["# Tables", "## Blocks", *blocks(comparison), "## Share of layers in blocks", *related]
    parts += ["## Two seeds of one setting", *seeds(comparison, made)]
    text = "".join(f"\n{line}\n\n" if line[0] == "#" else f"{line}\n" for line in parts)
    text = text.replace("\n\n\n", "\n\n").strip() + "\n"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw(comparison, given.out)
    print(text)


if __name__ == "__main__":
    main()
