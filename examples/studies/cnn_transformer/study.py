"""CNN against Transformer at equal accuracy, five seeds each: `python study.py [FOLDER] [--quick]`.

FOLDER holds what `train.py` leaves; without it, the networks kept in `weights`. Writes `tables.md`, `depth.png` and
`errors.png` to `--out`. Every number but those of errors is a mean over seeds with its 95% interval by Student's t.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
from drawn import draw
from families import load

import cka_plugin as cka
from cka_plugin import sample

HERE = Path(__file__).parent
POOLED = {"cnn": ("flatten", "mean"), "vit": ("flatten", "mean", "cls")}
Matrices = Callable[[str, str], np.ndarray]


def interval(values: Iterable[float]) -> str:
    """Mean over seeds and its 95% interval by Student's t."""
    x = np.array(list(values), dtype=float)
    half = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return f"{x.mean():.2f} [{x.mean() - half:.2f}, {x.mean() + half:.2f}]"


def matched(comparison: cka.Comparison, a: list[str], b: list[str]) -> pd.DataFrame:
    """The best match in b of each layer of a, a seed of one family with the same seed of the other."""
    found = pd.concat([comparison.correspondence(*pair).to_frame() for pair in zip(a, b, strict=True)])
    each = found.groupby("layer", sort=False)
    columns = {"depth": each["depth"].first(), "depth of match": each["match_depth"].apply(interval)}
    columns |= {"CKA of match": each["cka"].apply(interval), "most often": each["match"].agg(lambda m: m.mode()[0])}
    return pd.DataFrame(columns).reset_index()


def numbers(cka_of: Matrices, comparison: cka.Comparison, cnns: list[str], vits: list[str]) -> pd.Series:
    """How the layers of the two families correspond, heads apart."""
    low, high = (np.array([x.depth for x in comparison.layers(n[0])[:-1]]) for n in (cnns, vits))
    pairs = [cka_of(*pair)[:-1, :-1] for pair in zip(cnns, vits, strict=True)]
    rows = {"share of the ViT's layers that match a CNN's best": [len(set(m.argmax(1))) / len(high) for m in pairs]}
    for half, a, b in (("lower", low <= 0.5, high <= 0.5), ("upper", low > 0.5, high > 0.5)):
        rows[f"depth in the ViT that the CNN's {half} half matches"] = [high[m[a].argmax(1)].mean() for m in pairs]
        rows[f"best CKA in the CNN of the ViT's {half} half"] = [m[:, b].max(0).mean() for m in pairs]
    for family, members in (("CNN", cnns), ("ViT", vits)):
        own = [cka_of(name, name)[:-1, :-1] for name in members]
        rows[f"CKA of the {family}'s own layers half its depth apart"] = [np.diag(m, len(m) // 2).mean() for m in own]
    return pd.Series(rows).map(interval)


def pooled(every: dict[str, cka.Representation], cnns: list[str], vits: list[str]) -> pd.DataFrame:
    """What is compared of the ViT's tokens, and whether that changes how alike networks are and where classes show."""
    rows = []
    for how in POOLED["vit"]:
        other = "flatten" if how == "flatten" else "mean"
        made = [every[f"{name} {how if name in vits else other}"] for name in (*cnns, *vits)]
        c = cka.compare(*made, progress=False)
        a, b = ([f"{name} {p}" for name in names] for names, p in ((cnns, other), (vits, how)))
        best = [np.nanmax(c.matrix(*pair)[:-1, :-1], axis=1).mean() for pair in zip(a, b, strict=True)]
        seeds = [np.nanmean(np.diag(c.matrix(name, b[i - 1]))[:-1]) for i, name in enumerate(b)]
        row = {"ViT's tokens": how, "CNN's places": other, "best CKA in the ViT of the CNN's layers": interval(best)}
        row["two seeds of the ViT, same layer"] = interval(seeds)
        labels = np.array([c.label_similarity(name)[0] for name in b])
        row |= {f"labels at {c.layers(b[0])[i].name}": interval(labels[:, i]) for i in (2, 5, 8)}
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE / "weights")
    parser.add_argument("--quick", action="store_true", help="two seeds of each")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    images, labels, _ = sample.crops()
    options = {"data": (images, labels), "progress": False}
    cnns, vits = (sorted(path.stem for path in given.folder.glob(f"{f}-s*.safetensors")) for f in POOLED)
    cnns, vits = (cnns[:2], vits[:2]) if given.quick else (cnns, vits)
    nets = {name: load(given.folder, name) for name in (*cnns, *vits)}
    every = {
        f"{name} {how}": cka.represent(net, name=f"{name} {how}", pooling=how, **options)
        for name, net in nets.items()
        for how in POOLED[name[:3]]
    }
    trained = cka.compare({name: every[f"{name} flatten"] for name in nets}, progress=False)
    untrained = cka.compare({n: cka.untrained(net, seed=int(n[5:])) for n, net in nets.items()}, **options)
    kinds = {
        "CKA": trained.matrix,
        "CKA, untrained": untrained.matrix,
        "without first components": trained.without_first_component,
    }
    corresponding = pd.DataFrame({kind: numbers(of, trained, cnns, vits) for kind, of in kinds.items()})
    errors = trained.group_errors({name: name[:3] for name in nets}, margin=0.03)
    classes = errors.to_frame().drop(columns=["df", "p", "significant", "reason"]).sort_values("difference")
    tables = {
        "What corresponds": corresponding.reset_index(names=""),
        "The CNN's layers in the ViT": matched(trained, cnns, vits),
        "The ViT's layers in the CNN": matched(trained, vits, cnns),
        "What is compared of the tokens": pooled(every, cnns, vits),
        "Accuracy by class: a is the CNN, b the ViT": classes.assign(name=np.take(sample.CROP_CLASSES, classes.index)),
    }
    text = "# Tables\n"
    for title, table in tables.items():
        text += f"\n## {title}\n\n{table.to_markdown(index=False, floatfmt='.2f')}\n"
    text += "\n## Errors\n\n" + "".join(f"- {line}\n" for line in str(errors).split("\n\n")[0].splitlines())
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw(trained, cnns, vits, errors.example_accuracy_a - errors.example_accuracy_b, given.out)
    print(text)


if __name__ == "__main__":
    main()
