"""Do two networks represent alike, inside a block structure and outside? `python study.py [FOLDER] [--quick]`.

FOLDER holds what `python ../photographs/train.py FOLDER` leaves; with `--quick`, or without it, these are the networks
kept in `../photographs/weights`. Writes `tables.md` and `between.png` to `--out`.
"""

import sys
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
from seeds import arguments, at_equal_depth, by_setting, compared, over_models, setting, shared, strong, table, write

import cka_plugin as cka

ALIKE = 0.5  # of which two networks share so much are said to have the same dominant crops


def pairs_of(names: Sequence[str], groups: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs of networks of one setting, or of one network of each of two, the second setting first."""
    parts = [[name for name in names if setting(name) == group] for group in groups]
    return list(combinations(parts[0], 2) if len(parts) == 1 else product(parts[1], parts[0]))


def mean_cka(comparison: cka.Comparison, pairs: Sequence[tuple[str, str]], where: bool) -> float:
    """Mean CKA at equal depth over pairs of networks, inside strong blocks of either (`where`) or outside."""
    found = [at_equal_depth(comparison, a, b) for a, b in pairs]
    values = [matrix[mask == where].mean() for matrix, mask in found if (mask == where).any()]
    return float(np.mean(values)) if values else float("nan")


def alike(comparison: cka.Comparison, choices: Sequence[Sequence[str]]) -> list[str]:
    """A row for each choice of one setting or two: CKA over their pairs, inside blocks, outside, and the difference."""
    rows = []
    for groups in choices:
        names = [name for name in comparison.names if setting(name) in groups]

        def of(some: list[str], where: bool, groups: Sequence[str] = groups) -> float:
            return mean_cka(comparison, pairs_of(some, groups), where)

        if pairs := pairs_of(names, groups):
            both = [over_models(lambda some, w=where: of(some, w), names) for where in (True, False)]
            less = over_models(lambda some: of(some, True) - of(some, False), names, "+.2f")
            rows.append([" and ".join(groups), str(len(pairs)), *both, less])
    return table(["networks", "pairs", "CKA inside", "outside", "inside less outside"], rows)


def dominant(comparison: cka.Comparison) -> list[str]:
    """How many of the most dominant tenth of crops two seeds share, and CKA by whether that is most of them."""
    rows = []
    for group, names in by_setting(strong(comparison)).items():
        pairs = pairs_of(names, [group])
        shares = [shared(comparison, *pair) for pair in pairs]
        for text, same in (("the same", True), ("other", False)):
            chosen = [pair for pair, share in zip(pairs, shares, strict=True) if (share >= ALIKE) == same]
            figures = [f"{mean_cka(comparison, chosen, where):.2f}" for where in (True, False)]
            mean_share = np.mean([share for share in shares if (share >= ALIKE) == same]) if chosen else np.nan
            rows.append([group, text, f"{len(chosen)} of {len(pairs)}", f"{mean_share:.2f}", *figures])
    return table(["setting", "dominant crops", "pairs", "shared (chance 0.10)", "CKA inside", "outside"], rows)


def draw(found: list[cka.Comparison], out: Path) -> None:
    """CKA at equal depth, layer by layer: a line a pair of networks, by whether both have the same dominant crops."""
    panels = {}
    for comparison in found:
        groups = list(by_setting(comparison.names))
        for chosen in [(group,) for group in groups] + list(combinations(groups, 2)):
            if pairs := pairs_of(comparison.names, chosen):
                panels["\nand ".join(chosen)] = (comparison, pairs)
    figure, axes = plt.subplots(-(-len(panels) // 4), 4, figsize=(11, 2.5 * -(-len(panels) // 4)), squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (title, (comparison, pairs)) in zip(axes.flat, panels.items(), strict=False):
        for a, b in pairs:
            both = {a, b} <= set(strong(comparison))
            colour = "tab:gray" if not both else "tab:red" if shared(comparison, a, b) >= ALIKE else "tab:blue"
            depths = [layer.depth for layer in comparison.layers(a)]
            axis.plot(depths, at_equal_depth(comparison, a, b)[0], color=colour, lw=0.8)
        axis.set(ylim=(-0.05, 1.05), xlabel="depth", ylabel="CKA")
        axis.set_title(title, fontsize=8)
    figure.tight_layout()
    figure.savefig(out / "between.png", dpi=70)


def main() -> None:
    given = arguments(__file__, __doc__.splitlines()[0])
    plt.switch_backend("Agg")
    found = compared(given.folder, ["depth", "wide and deep"])
    comparisons = [comparison for _, comparison in found.values()]
    parts = ["# Tables"]
    for what, comparison in zip(("Depth", "Width and depth"), comparisons, strict=True):
        groups = list(by_setting(comparison.names))
        parts += [f"## {what}: seeds of one setting", *alike(comparison, [[group] for group in groups])]
        parts += [f"## {what}: networks of two settings", *alike(comparison, list(combinations(groups, 2)))]
    errors = repr(comparisons[1].similarity_and_errors()).splitlines()
    parts += ["## Width and depth: do networks that represent alike err alike?", *(f"- {line}" for line in errors)]
    write(given.out, [*parts, "## Seeds by their dominant crops", *dominant(comparisons[0])])
    draw(comparisons, given.out)


if __name__ == "__main__":
    main()
