"""Can layers inside a block structure be done without? Probes and ablation. `python study.py [FOLDER] [--quick]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; without it these are the networks kept in
`../photographs/weights`, with `--quick` few layers of two of them. Writes `tables.md` and `layers.png` to `--out`.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from seeds import arguments, by_setting, compared, inside, mean, table, write
from train import load

import cka_plugin as cka
from cka_plugin import sample

FEW = ["stages.0.blocks.0", "stages.0.blocks.1", "stages.2.blocks.1"]  # for --quick
COLUMNS = ("depth", "inside", "accuracy", "gain", "cost", "churn")
Measured = dict[str, dict[str, np.ndarray]]


def measured(folder: Path, made: dict, comparison: cka.Comparison, layers: list[str] | None) -> Measured:
    """Of each network, residual block by block: what a linear probe gains there, and what dropping the block costs.

    Blocks that change the size of their input are left out: their shortcut is not the identity.
    """
    x, y, _ = sample.crops()
    found = {}
    for name, settings in made.items():
        net = load(folder, settings)
        dropped = cka.ablate({name: net}, x, y, layers=layers, progress=False).blocks
        costs = {row.block: row for row in dropped if row.shortcut.startswith("identity")}
        within = dict(zip((layer.name for layer in comparison.layers(name)), inside(comparison, name), strict=True))
        rows = []
        for row in cka.probe({name: net}, x, y, layers=layers, progress=False).layers:
            if cost := costs.get(row.layer):
                rows.append((row.depth, within[row.layer], row.accuracy, row.gain, -cost.difference, cost.churn))
        found[name] = dict(zip(COLUMNS, np.array(rows, dtype=float).T, strict=True))
    return found


def averages(found: Measured, names: list[str], chosen: dict[str, np.ndarray]) -> list[str]:
    """Mean gain, cost and churn over the chosen blocks of each network, then over networks."""
    cells = []
    for key in ("gain", "cost", "churn"):
        each = [found[name][key][chosen[name]] for name in names]
        values = [float(one[~np.isnan(one)].mean()) for one in each if not np.isnan(one).all()]
        cells.append(mean(values, "+.1%" if key != "churn" else ".1%"))
    return [str(sum(chosen[name].any() for name in names)), *cells]


def where(found: Measured) -> list[str]:
    """Inside strong blocks and outside, a row a setting."""
    rows = []
    for group, names in by_setting(found).items():
        for text, value in (("inside", 1), ("outside", 0)):
            chosen = {name: found[name]["inside"] == value for name in names}
            if any(some.any() for some in chosen.values()):
                rows.append([group, text, *averages(found, names, chosen)])
    return table(["setting", "residual blocks", "networks", "probe gains a block", "dropping costs", "churn"], rows)


def by_depth(found: Measured) -> list[str]:
    """By place: depth in six parts, since inside and outside also differ in that."""
    rows = []
    for group, names in by_setting(found).items():
        for part in range(6):
            chosen = {name: (found[name]["depth"] * 6).astype(int).clip(0, 5) == part for name in names}
            if any(some.any() for some in chosen.values()):
                share = np.mean([found[name]["inside"][chosen[name]].mean() for name in names if chosen[name].any()])
                place = f"{part / 6:.2f} to {(part + 1) / 6:.2f}"
                rows.append([group, place, f"{share:.0%}", *averages(found, names, chosen)])
    return table(["setting", "depth", "inside", "networks", "probe gains a block", "dropping costs", "churn"], rows)


def draw(found: Measured, out: Path) -> None:
    """Accuracy of probes and cost of dropping each block along the depth; dots are inside strong blocks."""
    groups = by_setting(found)
    figure, axes = plt.subplots(2, len(groups), figsize=(3 * len(groups), 4.6), sharey="row", squeeze=False)
    for column, (group, names) in zip(axes.T, groups.items(), strict=True):
        for axis, key in zip(column, ("accuracy", "cost"), strict=True):
            for name in names:
                x, y, within = (found[name][what] for what in ("depth", key, "inside"))
                axis.plot(x, y, lw=0.7, color="tab:gray")
                axis.plot(x[within == 1], y[within == 1], ".", color="tab:orange", ms=5)
            axis.set(xlim=(0, 1), xlabel="depth")
        column[0].set_title(group, fontsize=9)
        column[1].axhline(0, color="black", lw=0.5)
    axes[0, 0].set_ylabel("accuracy of a linear probe")
    axes[1, 0].set_ylabel("accuracy lost without it")
    figure.tight_layout()
    figure.savefig(out / "layers.png", dpi=70)


def main() -> None:
    given = arguments(__file__, __doc__.splitlines()[0])
    plt.switch_backend("Agg")
    made, comparison = compared(given.folder, ["depth"])["depth"]
    made = {name: settings for name, settings in made.items() if settings.depth in (14, 56)}
    if given.quick:
        made = {names[-1]: made[names[-1]] for names in by_setting(made).values()}
    found = measured(given.folder, made, comparison, FEW if given.quick else None)
    parts = ["# Tables", "## Inside strong blocks and outside", *where(found)]
    write(given.out, [*parts, "## By depth", *by_depth(found)])
    draw(found, given.out)


if __name__ == "__main__":
    main()
