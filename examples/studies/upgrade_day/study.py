"""Upgrade day: what a repository's guards say of upgrades, a quantisation, ports and bugs. `python study.py [--quick]`.

Makes a git repository of `release/` in a temporary folder, commits each change of `changes.py` on a branch of its own,
runs pytest there, and writes `tables.md` and pictures to `--out`.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from changes import CHANGES, QUICK, Change
from history import begin, commit, git, result_of, tested

GUARDS = {"test_release": 0.99, "test_code": 0.9999}  # their min_cka
TESTS = ("test_accuracy", "test_same_outputs", *GUARDS)


def judged(repository: Path, change: Change) -> dict:
    """What the tests say of a change on its branch, and the strictest guard's result as plain data."""
    git(repository, "checkout", "-b", change.branch, "main")
    change.make(repository)
    commit(repository, change.name)
    cases, report = tested(repository), repository.parent / "reports" / "test_representations.test_code.json"
    found = {name: cases[name].find("failure") is None and cases[name].find("error") is None for name in TESTS}
    return {**vars(change), "branch": change.branch, **found, "result": result_of(cases["test_code"], report)}


def row(found: dict) -> dict:
    """A line of the table of changes."""
    result = found["result"]
    lowest = min(result["layers"], key=lambda layer: layer["cka"])
    below = [one["name"] for one in result["layers"] if one["cka"] < GUARDS["test_release"]]
    cells = {"change": found["name"], "kind": found["kind"]}
    cells |= {name: "pass" if found[name] else "FAIL" for name in TESTS}
    cells |= {"first moved": result["first_moved"] or "-", "first below 0.99": below[0] if below else "-"}
    cells |= {"lowest CKA": f"{lowest['cka']:.5f} {lowest['name']}"}
    accuracy, before = (f"{result['errors'][key]:.1%}" for key in ("accuracy_b", "accuracy_a"))
    return cells | {"accuracy": f"{accuracy} ({before})", "churn": f"{result['churn']:.1%}"}


def said(found: dict) -> str:
    """What a failed guard printed: the first layer, all that is not a layer, and what it may mean."""
    failures = found["result"]["failures"]
    layers = [sentence for sentence in failures if sentence.startswith("layer ")]
    more = [f"{len(layers) - 1} more layers"] if len(layers) > 1 else []
    others = [sentence for sentence in failures if sentence not in layers]
    return f"- **{found['name']}**: {'; '.join([*layers[:1], *more, *others])}. *{found['result']['meaning']}*"


def counted(results: list[dict]) -> pd.DataFrame:
    """How many changes of each kind each test lets pass."""
    kinds = dict.fromkeys(found["kind"] for found in results)
    rows = []
    for name in TESTS:
        passed = {kind: [found[name] for found in results if found["kind"] == kind] for kind in kinds}
        rows.append({"lets pass": name} | {kind: f"{sum(some)} of {len(some)}" for kind, some in passed.items()})
    return pd.DataFrame(rows)


def accepted(repository: Path, found: dict) -> str:
    """What pytest prints where a change is accepted."""
    git(repository, "checkout", found["branch"])
    tested(repository, "--cka-update")
    printed = (repository.parent / "reports" / "printed.txt").read_text(encoding="utf-8")
    lines = [f"    {line}" for line in printed.splitlines() if line.startswith("changed: ")]
    return "\n".join([f"On the branch {found['name']!r} `pytest --cka-update` prints:", "", *lines])


def draw(results: list[dict], out: Path) -> None:
    """How far each layer moved, against the two thresholds."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
    styles = {"code": "-", "upgrade": "--", "bug": ":"}
    for number, found in enumerate(results):
        layers = found["result"]["layers"]
        moved = [max(1 - layer["cka"], 1e-9) for layer in layers]
        style = {"color": plt.get_cmap("tab20")(number), "linestyle": styles[found["kind"]], "marker": "."}
        axes.plot([layer["name"] for layer in layers], moved, label=f"{found['name']} ({found['kind']})", **style)
    for name, limit in GUARDS.items():
        axes.axhline(1 - limit, color="black", linewidth=0.8)
        axes.text(0, 1 - limit, f"{name} fails above", va="bottom", fontsize=8)
    axes.set(yscale="log", ylabel="1 - CKA with the release (1e-9 or less at the bottom)")
    axes.tick_params(axis="x", rotation=30)
    figure.legend(fontsize=7, loc="outside right upper")
    figure.savefig(out / "layers.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few of the changes, and half of the pictures")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    plt.switch_backend("Agg")
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        begin(repository, 20 if given.quick else 40)
        results = [judged(repository, change) for change in CHANGES if not given.quick or change.name in QUICK]
        shutil.copy(Path(folder) / "reports" / "test_representations.test_release.png", given.out / "guard.png")
        moved = [found for found in results if not found["test_code"]]
        printed = "Not in a quick run." if given.quick else accepted(repository, moved[0])
    parts = {
        "What the tests say": pd.DataFrame([row(found) for found in results]).to_markdown(index=False),
        "Changes that a test lets pass": counted(results).to_markdown(index=False),
        "What the failed guards print": "\n".join(map(said, moved)),
        "Accepting a change": printed,
    }
    text = "# Tables\n" + "".join(f"\n## {heading}\n\n{part}\n" for heading, part in parts.items())
    (given.out / "tables.md").write_text(text, encoding="utf-8")
    draw(results, given.out)
    print(text)


if __name__ == "__main__":
    main()
