"""What the studies of photographs share: trained networks by short names, and means over seeds with their intervals."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from train import FAMILIES, Settings, examples, load

import cka_plugin as cka
from cka_plugin import sample

KEPT = Path(__file__).parent / "weights"  # the few networks that come with the repository


def arguments(file: str, what: str) -> argparse.Namespace:
    """Of a study's command: `folder` of networks (those kept here without one or with `--quick`), `quick` and `out`."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("folder", type=Path, nargs="?", default=KEPT)
    parser.add_argument("--quick", action="store_true", help="from what is kept in the repository")
    parser.add_argument("--out", type=Path, default=Path(file).parent)
    given = parser.parse_args()
    given.folder = KEPT if given.quick else given.folder
    given.out.mkdir(parents=True, exist_ok=True)
    return given


def trained(folder: Path, family: str) -> dict[str, Settings]:
    """The networks of a family that are in a folder, by names such as `d56 w1 n500 e30 s1`."""
    there = [s for s in FAMILIES[family] if (folder / f"{s.name}.json").exists()]
    kinds = {"vit": "vit ", "residual": ""}
    return {f"{kinds[s.kind]}d{s.depth} w{s.width} n{s.n_train} e{s.epochs} s{s.seed}": s for s in there}


TOP = 56  # the tenth of the crops that dominates most
Family = tuple[dict[str, Settings], cka.Comparison]


def compared(folder: Path, families: Iterable[str]) -> dict[str, Family]:
    """The networks of each family that has any, and their comparison on the 560 test crops, or as many test digits."""
    found = {}
    for family in families:
        if made := trained(folder, family):
            found[family] = (made, cka.compare({name: represented(folder, name, s) for name, s in made.items()}))
    return found


def represented(folder: Path, name: str, settings: Settings) -> cka.Representation:
    """What a network makes of the test crops or digits; kept in `folder`, so that it runs once for all studies."""
    kept = folder / "representations" / f"{settings.name}.safetensors"
    if kept.exists():
        return cka.load(kept)
    data = sample.crops()[:2] if settings.data == "crops" else examples(settings, "test", 560)
    found = cka.represent({name: load(folder, settings)}, data, progress=False)
    if folder != KEPT:
        kept.parent.mkdir(exist_ok=True)
        found.save(kept)
    return found


def inside(comparison: cka.Comparison, name: str) -> np.ndarray:
    """(layers,) whether each lies in a strong block."""
    found = comparison.block_structure(name)
    blocks = [block for block in found.blocks if block.verdict == "strong"]
    return np.array([any(b.start <= i < b.stop for b in blocks) for i in range(len(found.layers))])


def strong(comparison: cka.Comparison) -> list[str]:
    """The networks that have a strong block."""
    return [name for name in comparison.names if inside(comparison, name).any()]


def at_equal_depth(comparison: cka.Comparison, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    """CKA of every layer of `a` with the layer of `b` nearest in depth, and which lie in a strong block of either."""
    depths = [np.array([layer.depth for layer in comparison.layers(name)]) for name in (a, b)]
    nearest = np.abs(depths[0][:, None] - depths[1]).argmin(axis=1)
    matrix = comparison.matrix(a, b)[np.arange(len(nearest)), nearest]
    return matrix, inside(comparison, a) | inside(comparison, b)[nearest]


def shared(comparison: cka.Comparison, a: str, b: str) -> float:
    """Of the most dominant tenth of the crops of one network, how many are among those of the other."""
    tops = [set(comparison.block_structure(name).blocks[0].dominant_examples[:TOP]) for name in (a, b)]
    return len(tops[0] & tops[1]) / TOP


def setting(name: str) -> str:
    """Of a network, without its seed."""
    return name.rsplit(" ", 1)[0]


def by_setting(names: Iterable[str]) -> dict[str, list[str]]:
    """The networks of each setting, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(setting(name), []).append(name)
    return found


def mean(values: Sequence[float], form: str = ".2f") -> str:
    """Mean of one figure of each seed, with its 95% interval by Student's t, as text; NaN are left out."""
    known = np.array([v for v in values if not math.isnan(v)])
    if len(known) == 0:
        return "-"
    spread = stats.sem(known) * stats.t.ppf(0.975, len(known) - 1) if len(known) > 1 else math.nan
    return bracketed(float(known.mean()), spread, form)


def difference(a: Sequence[float], b: Sequence[float], form: str = "+.2f") -> str:
    """Mean of a less mean of b, seeds of two settings, with Welch's 95% interval and p, as text."""
    if min(len(a), len(b)) < 2 or np.ptp(a) == np.ptp(b) == 0:
        return f"{np.mean(a) - np.mean(b):{form}} (no spread to judge it by)"
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval()
    return f"{np.mean(a) - np.mean(b):{form}} [{low:{form}}, {high:{form}}], p = {test.pvalue:.2g}"


def over_models(figure: Callable[[list[Any]], float], models: Sequence[Any], form: str = ".2f") -> str:
    """A figure of a set of networks, such as a mean over their pairs, with a 95% interval by leaving out each in turn.

    Pairs of networks are not independent, networks are: the delete-one jackknife of a mean over pairs leaves out all
    pairs of one network (Arvesen 1969).
    """
    whole, n = figure(list(models)), len(models)
    left = np.array([figure([*models[:i], *models[i + 1 :]]) for i in range(n)] if n > 2 else [])
    if math.isnan(whole) or len(left) == 0 or np.isnan(left).any():
        return "-" if math.isnan(whole) else f"{whole:{form}}"
    error = math.sqrt((n - 1) / n * np.sum((left - left.mean()) ** 2))
    return bracketed(whole, error * stats.t.ppf(0.975, n - 1), form)


def bracketed(value: float, spread: float, form: str) -> str:
    return f"{value:{form}}" + ("" if math.isnan(spread) else f" [{value - spread:{form}}, {value + spread:{form}}]")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table of Markdown, a string a line."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def write(out: Path, parts: Sequence[str]) -> None:
    """`tables.md` of headings and lines, also printed."""
    text = "".join(f"\n{line}\n\n" if line.startswith("#") else f"{line}\n" for line in parts)
    text = text.replace("\n\n\n", "\n\n").strip() + "\n"
    (out / "tables.md").write_text(text, encoding="utf-8")
    print(text)
