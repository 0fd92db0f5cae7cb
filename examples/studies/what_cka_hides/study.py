"""What CKA hides: seven ways to be misled, each seen going wrong, then as the package shows it.

`python study.py [--quick]` writes `tables.md`, `moved.png` and `plain.png` to `--out`.
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sanity_task"))
sys.path.insert(0, str(Path(__file__).parent))
from crops import crops
from given import Part
from made import Size, many_features, outliers, search
from tiny_ten import SIZE
from tiny_ten import load as load_tiny
from train import load as load_plain
from trained import DISTANCES, minibatches, moved, pooling

import cka_plugin as cka
from cka_plugin import sample

HERE = Path(__file__).parent


def plain(folder: Path, out: Path) -> list[Part]:
    """The plain ReLU networks and, beside them, a residual network whose block has its cause."""
    models = {path.stem: load_plain(path) for path in sorted(folder.glob("plain-*.safetensors"))}
    images, labels, _ = sample.crops()
    comparison = cka.compare({**models, "residual": "sample:crops-deep"}, data=(images, labels), progress=False)
    rows, said = [], []
    figure, axes = plt.subplots(2, len(comparison.names), figsize=(2.6 * len(comparison.names), 5), squeeze=False)
    for name, column in zip(comparison.names, axes.T, strict=True):
        found = comparison.block_structure(name)
        numbers: tuple[object, ...] = ("-",) * 4
        if found.blocks:
            b = found.blocks[0]
            shares = (b.mean_similarity, b.similarity_without_first_component, b.first_component_share)
            place = f"{b.layers[0]} to {b.layers[-1]} ({len(b)} of {len(found.layers)})"
            numbers = (place, *(f"{share:.2f}" for share in shares))
        rows.append((name, f"{comparison[name].accuracy:.1%}", found.verdict, *numbers))
        said.append(f"- {name}: {found.reason}")
        for axis, matrix in zip(column, (found.matrix, found.matrix_without_first_component), strict=True):
            axis.imshow(matrix, vmin=0, vmax=1, cmap="magma", origin="lower")
            axis.set(xticks=[], yticks=[])
        column[0].set_title(f"{name}: {found.verdict}", fontsize=9)
    axes[0, 0].set_ylabel("CKA", fontsize=9)
    axes[1, 0].set_ylabel("without first components", fontsize=9)
    figure.savefig(out / "plain.png", dpi=70, bbox_inches="tight")
    head = ["network", "accuracy", "verdict", "largest block", "mean CKA", "without PC1", "PC1 share"]
    return [pd.DataFrame(rows, columns=head), "The reasons given:", "\n".join(said)]


def draw(values: dict[str, list[float]], out: Path) -> None:
    """What becomes of each figure while the crops of one photograph are moved."""
    figure, axis = plt.subplots(figsize=(5.5, 3))
    for name, along in values.items():
        axis.plot(DISTANCES, along, "o-", markersize=4, label=name)
    axis.set(xscale="symlog", xlabel="distance moved, in mean lengths of an example", ylim=(0, 1.05))
    axis.set_xticks(DISTANCES, [str(distance) for distance in DISTANCES])
    axis.legend(fontsize=7)
    figure.savefig(out / "moved.png", dpi=80, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plain", type=Path, nargs="?", default=HERE / "weights", help="plain ReLU networks")
    parser.add_argument("tiny", type=Path, nargs="?", default=HERE.parent / "sanity_task" / "weights", help="CNNs")
    parser.add_argument("--quick", action="store_true", help="two CNNs, 112 crops, two draws of few settings")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    plt.switch_backend("Agg")
    files, n, made = sorted(given.tiny.glob("seed-*.safetensors")), 560, Size(10)
    if given.quick:
        files, n, made = files[:2], 112, Size(2, (100,), (1024,), (6,))
    nets = {path.stem: load_tiny(path) for path in files}
    x, y = crops("test", n + 128, SIZE)
    distinct = np.sort(np.unique(x.flatten(1).numpy(), axis=0, return_index=True)[1])[:n]  # black rims come twice
    x, y = x[distinct], y[distinct]
    on_digits, digits = sample.models(("narrow", "wide", "deep")[: 1 if given.quick else None]), sample.digits()[0][:n]
    of_moved, drawn = moved(nets, x, y)
    draw(drawn, given.out)
    sections = {
        "Moved examples": of_moved,
        "Outliers": outliers(made),
        "More features than examples": many_features(made),
        "Minibatches": minibatches(nets, x, y),
        "Pooling": pooling({"crops": (nets, "blocks.2", x), "digits": (on_digits, "layer1", digits)}),
        "The search over layers": search(made),
        "A block by eye": plain(given.plain, given.out),
    }
    lines = ["# Tables"]
    for heading, parts in sections.items():
        lines.append(f"## {heading}")
        lines += [part if isinstance(part, str) else part.to_markdown(index=False) for part in parts]
    text = "\n\n".join(lines) + "\n"
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
