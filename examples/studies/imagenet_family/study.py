"""An ImageNet family: what depth and width change in EfficientNet-Lite0, 1 and 2. `python study.py [--quick]`.

Lite1 is Lite0 with more blocks, Lite2 is Lite1 with more channels. Writes `tables.md` and pictures to `--out`.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from lite import PIXELS, prepared, recognised, same_weights, trained
from torch.utils.data import DataLoader

import cka_plugin as cka
from cka_plugin import sample

PAIRS = {"depth": ("lite1", "lite0"), "width": ("lite2", "lite1"), "both": ("lite2", "lite0")}


def steps(comparison: cka.Comparison, levels: dict[str, pd.DataFrame], weights: dict[str, float]) -> pd.DataFrame:
    """What is alike after each step of scaling."""
    rows = []
    for step, pair in PAIRS.items():
        found, table = comparison.correspondence(*pair), levels[step]
        lowest = table.loc[table["cka"].idxmin()]
        row = {"step": step, "layers of": pair[0], "in": pair[1], "correlation of weights": weights[step]}
        row |= {"CKA of best matches": table["cka"].mean(), "untrained": table["untrained"].mean()}
        row["above untrained"] = f"{(table['above_untrained_low'] > 0).sum()} of {len(table)}"
        row["lowest"] = f"{lowest['cka']:.3f} ({lowest['layer']})"
        row["at equal depth"] = f"{found.share_at_equal_depth:.0%} (by chance {found.share_by_chance:.0%})"
        row["no counterpart"] = ", ".join(found.only_in_a) or "none"
        rows.append(row | {"same class": f"{comparison.agreement(*pair).agreement:.0%}"})
    return pd.DataFrame(rows)


def depth_and_width(comparison: cka.Comparison) -> pd.DataFrame:
    """Where each stage of Lite1 ends: CKA with Lite0, of other depth, and with Lite2, of other width."""
    layers = {name: [layer.name for layer in comparison.layers(name)] for name in comparison.names}
    ends = {name: {one.split(".blocks")[0]: one for one in listed} for name, listed in layers.items()}
    rows = []
    for stage in ends["lite1"]:
        cells = [("lite1", ends["lite1"][stage], other, ends[other][stage]) for other in ("lite0", "lite2")]
        values = [comparison.to_frame(a, b).loc[x, y] for a, x, b, y in cells]
        found = comparison.difference(*cells)
        rows.append((stage, *values, found.value, found.low, found.high))
    return pd.DataFrame(rows, columns=["end of", "other depth", "other width", "difference", "low", "high"])


def counterparts(comparison: cka.Comparison, within: cka.Comparison, levels: pd.DataFrame) -> pd.DataFrame:
    """Each layer of Lite2, its best match in Lite0, and CKA of the two within photographs."""
    a, b = PAIRS["both"]
    found = comparison.correspondence(a, b).to_frame()
    places = [[layer.name for layer in comparison.layers(name)] for name in (a, b)]
    cells = [(places[0].index(x), places[1].index(y)) for x, y in zip(found["layer"], found["match"], strict=True)]
    parts = zip(("within", "its low", "its high"), (within.matrix(a, b), *within.interval(a, b)), strict=True)
    table = found[["layer", "match", "cka", "low", "high", "runner_up", "runner_up_cka", "verdict"]]
    table = table.assign(untrained=levels["untrained"], untrained_match=levels["untrained_match"])
    return table.assign(**{name: [values[cell] for cell in cells] for name, values in parts})


def draw(comparison: cka.Comparison, out: Path) -> None:
    """Which layer goes with which; the levels; CKA within and between networks; crops placed most differently."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 5), layout="constrained")
    for axis, (step, pair) in zip(axes, PAIRS.items(), strict=True):
        title = f"other {step}" if step != "both" else "other depth and width"
        comparison.plot("correspondence", *pair, ax=axis, title=title, limits=(0.88, 1))
    figure.savefig(out / "correspondence.png", dpi=100)
    comparison.plot("depth", *PAIRS["both"], width=6).savefig(out / "levels.png", dpi=100)
    comparison.plot("grid", width=7).savefig(out / "heatmaps.png", dpi=100)
    comparison.plot("examples", *PAIRS["both"], width=6, most=10).savefig(out / "examples.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="112 crops of 32 pixels for 504 of 224")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--resume", type=Path, help="a folder that keeps finished minibatches, to go on from")
    given = parser.parse_args()
    plt.switch_backend("Agg")
    given.out.mkdir(parents=True, exist_ok=True)
    each = 8 if given.quick else 36
    networks = {f"lite{size}": trained(size) for size in range(3)}
    crops, ids = sample.photos(len(sample.PHOTOGRAPHS) * each, size=32 if given.quick else PIXELS)
    shown = [name.split("/")[0] for name in ids]
    kept = {name: given.resume and given.resume / name for name in ("all", "within")}
    options = {"transforms": prepared, "batch_size": each, "levels": True, "checkpoint_dir": kept["all"]}
    comparison = cka.compare(networks, data=crops, labels=shown, progress=False, **options)
    in_turn = [prepared(crops[place]) for place in np.argsort(shown, kind="stable")]
    in_turn = DataLoader(in_turn, each)  # each minibatch is one photograph
    within = cka.compare(networks, data=in_turn, progress=False, checkpoint_dir=kept["within"])
    levels = {step: comparison.levels(*pair).to_frame() for step, pair in PAIRS.items()}
    weights = {step: same_weights(networks[a], networks[b]) for step, (a, b) in PAIRS.items()}
    placed = comparison.examples(*PAIRS["both"])
    by_photograph = placed.classes_to_frame()
    by_photograph["p_corrected"] = by_photograph["p_corrected"].map("{:.1g}".format)
    parts = {
        "The photographs": recognised(networks),
        "The family": comparison.summary().to_frame().drop(columns=["accuracy", "family"]),
        "Steps of scaling": steps(comparison, levels, weights),
        "Depth against width": depth_and_width(comparison),
        "Layers of Lite2 in Lite0": counterparts(comparison, within, levels["both"]),
        "Photographs that Lite2 and Lite0 place differently": by_photograph.drop(columns="p").iloc[:, :6],
        "Do they predict differently what they place differently?": placed.foretells(),
        "Block structure": "\n".join(f"- {name}: {comparison.block_structure(name).reason}" for name in networks),
    }
    text = "# Tables\n"
    for heading, part in parts.items():
        text += (
            f"\n## {heading}\n\n{part if isinstance(part, str) else part.to_markdown(index=False, floatfmt='.3f')}\n"
        )
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw(comparison, given.out)
    print(text)


if __name__ == "__main__":
    main()
