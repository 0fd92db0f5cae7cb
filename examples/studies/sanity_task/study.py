"""The sanity task of Kornblith et al. 2019: which measure finds, for a layer, the same layer of another seed?

Ten networks that differ in their seeds alone. For each two of them and each layer of the first, is the most similar
layer of the second the one at the same place? `python study.py [--quick]` writes `tables.md`, `shares.png` and
`matrices.png` to `--out`.
"""

import argparse
import json
import sys
from collections import Counter
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr, t

sys.path.insert(0, str(Path(__file__).parents[1] / "photographs"))
sys.path.insert(0, str(Path(__file__).parent))
from crops import crops
from drawing import draw
from other_packages import Found, others
from tiny_ten import LAYERS, SIZE, load

import cka_plugin as cka

HERE = Path(__file__).parent
NAMES = [*(f"blocks.{i}" for i in range(len(LAYERS))), "pool"]
RBF = {f"CKA, RBF, σ = {bandwidth} medians": bandwidth for bandwidth in (0.2, 0.4, 0.8)}
PAPER = dict(zip(RBF, (80.6, 99.1, 99.3), strict=True))  # 1905.00414, table 2: ten such networks on CIFAR-10
PAPER |= {"CKA, biased, n = 256": 99.3, "CCA, mean ρ": 1.4, "CCA, mean ρ²": 10.6, "SVCCA, mean ρ": 9.9}
PAPER |= {"SVCCA, mean ρ²": 15.1, "PWCCA": 11.1}


def ours(nets: dict[str, torch.nn.Module], x: torch.Tensor, pooling: str) -> tuple[Found, cka.Comparison]:
    """Every measure of the package, in minibatches of 64 but where n is named; and the comparison these are of."""
    layers = NAMES[:-1] if pooling == "mean" else NAMES  # the mean over places of the last convolution is `pool`
    given = {"data": x, "layers": layers, "granularity": "module", "pooling": pooling, "progress": False}
    made = {n: cka.compare(nets, batch_size=n, **given) for n in (16, 64, min(256, len(x)))}
    asked = {}
    for kind in ("unbiased", "biased"):
        both = {n: cka.Comparison(list(c.representations.values()), estimator=kind) for n, c in made.items()}
        asked |= {f"CKA, {kind}, n = {n}": (comparison, "cka") for n, comparison in both.items()}
    for name, bandwidth in RBF.items():
        asked[name] = cka.compare(nets, kernel="rbf", bandwidth=bandwidth, batch_size=64, **given), "cka"
    asked |= {name: (made[64], name) for name in ("mutual_knn", "rsa", "bures")}
    pairs = list(combinations(nets, 2))
    found = {name: {pair: c.matrix(*pair, measure=m) for pair in pairs} for name, (c, m) in asked.items()}
    return found | {"CKA, no PC 1": {pair: made[64].without_first_component(*pair) for pair in pairs}}, made[64]


def right(matrix: np.ndarray) -> np.ndarray:
    """(layers,) share found of each layer: of rows in columns, and of columns in rows."""
    return np.mean([matrix.argmax(axis) == np.arange(len(matrix)) for axis in (0, 1)], axis=0)


def share(pairs: dict[tuple[str, str], np.ndarray]) -> str:
    """Percent of layers found, with its 95% interval: jackknife, all pairs of one seed left out at a time."""
    found = {pair: right(matrix).mean() for pair, matrix in pairs.items()}
    seeds = sorted({seed for pair in found for seed in pair})
    left_out = [np.mean([value for pair, value in found.items() if seed not in pair]) for seed in seeds]
    half = t.ppf(0.975, len(seeds) - 1) * np.sqrt((len(seeds) - 1) * np.var(left_out))
    return f"{100 * np.mean(list(found.values())):.1f} ± {100 * half:.1f}"


def verdicts(comparison: cka.Comparison) -> pd.DataFrame:
    """Best matches by what the package says of them, and whether they are right."""
    counts: Counter[tuple[str, bool]] = Counter()
    for a, b in permutations(comparison.names, 2):
        counts.update((match.verdict, match.match == match.layer) for match in comparison.correspondence(a, b).matches)
    rows = [(v, counts[v, True], counts[v, False]) for v in sorted({verdict for verdict, _ in counts})]
    return pd.DataFrame(rows, columns=["verdict", "right", "wrong"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "weights")
    parser.add_argument("--quick", action="store_true", help="three seeds, 64 and 128 crops")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    files = sorted(given.folder.glob("seed-*.safetensors"))[: 3 if given.quick else None]
    nets = {path.stem: load(path) for path in files}
    few, many = (64, 128) if given.quick else (128, 512)
    x, _ = crops("test", many + 128, SIZE)
    x = x[np.sort(np.unique(x.flatten(1).numpy(), axis=0, return_index=True)[1])[:many]]  # black rims come twice
    found: dict[str, Found] = {}
    found[f"flattened, {few} crops"] = ours(nets, x[:few], "flatten")[0] | others(nets, x[:few], "flatten")
    found[f"flattened, {many:,} crops"], comparison = ours(nets, x, "flatten")
    found[f"mean over places, {many:,} crops"] = ours(nets, x, "mean")[0] | others(nets, x, "mean")
    measures = list(dict.fromkeys(name for of in found.values() for name in of))
    columns = {setting: [share(of[m]) if m in of else "-" for m in measures] for setting, of in found.items()}
    table = pd.DataFrame({"measure": measures, **columns, "paper": [PAPER.get(m, "-") for m in measures]})
    both = table[table["measure"].isin(PAPER)]
    order = ["Spearman's correlation with the order of the paper's table, over the measures that both have:"]
    for setting in found:
        told = both[both[setting] != "-"]
        rank = spearmanr(told[setting].str.split().str[0].astype(float), told["paper"].astype(float)).statistic
        order.append(f"- {setting}: {rank:.2f} ({len(told)} measures)")
    by_layer = pd.DataFrame({"layer": NAMES})
    for name in ("CKA, unbiased, n = 64", "mutual_knn", "SVCCA, mean ρ²"):
        for setting, of in found.items():
            if name in of:
                by_layer[f"{name}; {setting}"] = pd.Series(np.mean([right(m) for m in of[name].values()], axis=0))
    accuracy = [json.loads(path.with_suffix(".json").read_text("utf-8"))["test"] for path in files]
    told = f"{len(nets)} networks, {min(accuracy):.1%} to {max(accuracy):.1%} of 2,100 test crops right."
    parts = ["# Tables", told, "## Percent of layers found", table.to_markdown(index=False)]
    parts += [order[0], "\n".join(order[1:]), "## By layer"]
    parts += [by_layer.to_markdown(index=False, floatfmt=".2f"), "## What the package says of its matches"]
    parts += [f"Best matches by CKA, flattened, {many:,} crops.", verdicts(comparison).to_markdown(index=False)]
    text = "\n\n".join(parts) + "\n"
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw(found, table, given.out)
    print(text)


if __name__ == "__main__":
    main()
