"""The studies run, quickly, from what the repository keeps, and their pages show what their scripts make."""

from __future__ import annotations

import ast
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import cka_plugin as cka
from tests.support import ROOT

STUDIES = ROOT / "examples" / "studies"
SCRIPTS = sorted(STUDIES.glob("*/study.py"))
KEPT = {"d14 w1 n200 e75": (0, 1), "d56 w1 n500 e30": (0, 1, 3)}  # seeds of networks in photographs/weights
OPEN = {"adapters", "pytest_plugin", "sample", "training"}  # modules of the package that pages tell users to import


def quick(script: Path, out: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, script, "--quick", "--out", out], check=True, env=environment, cwd=out)


def named(script: Path) -> str:
    return script.parent.name


@pytest.fixture(scope="module", params=SCRIPTS, ids=named)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a study, and what its quick run wrote."""
    out = tmp_path_factory.mktemp(request.param.parent.name)
    quick(request.param, out)
    return request.param.parent, out


def test_a_study_writes_the_tables_and_pictures_of_its_page(study: tuple[Path, Path]) -> None:
    folder, out = study
    page = (folder / "README.md").read_text(encoding="utf-8")
    pictures = set(re.findall(r"\]\((\w[\w-]*\.(?:png|svg))\)", page))
    assert pictures
    assert pictures <= {path.name for path in out.iterdir()}
    kept, made = ((where / "tables.md").read_text(encoding="utf-8") for where in (folder, out))
    assert headings(made) == headings(kept)
    assert "tables.md" in page
    assert re.search(rf"python examples/studies/{folder.name}/study\.py", page)
    assert re.search(r"^\*\*Question\.\*\* .+?\?", page, flags=re.DOTALL | re.MULTILINE)  # what the gallery shows of it


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_a_study_is_a_short_script_on_public_names(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cka_plugin":
            inside = (node.module or "").split(".")[1:] or [name.name for name in node.names]
            assert inside[0] in OPEN | set(cka.__all__), f"{script.parent.name} imports {inside[0]}"
        if isinstance(node, ast.Attribute):
            assert not (node.attr.startswith("_") and not node.attr.endswith("__")), node.attr


@pytest.mark.parametrize("study", [STUDIES / "width_depth_data" / "study.py"], ids=named, indirect=True)
def test_width_depth_and_data_finds_the_block_of_the_deep_network_alone(study: tuple[Path, Path]) -> None:
    lines = (study[1] / "tables.md").read_text(encoding="utf-8").splitlines()
    verdicts = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in lines if line.startswith("| d")}
    shallow, deep = ({f"{name} s{seed}" for seed in seeds} for name, seeds in KEPT.items())
    assert verdicts == dict.fromkeys(shallow, "none") | dict.fromkeys(deep, "strong")


@pytest.mark.parametrize("study", [STUDIES / "imagenet_family" / "study.py"], ids=named, indirect=True)
def test_an_imagenet_family_sees_what_the_photographs_show(study: tuple[Path, Path]) -> None:
    lines = (study[1] / "tables.md").read_text(encoding="utf-8").splitlines()
    fits = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines if line.count("|") == 6}
    assert {fits[name] for name in ("camera", "cat", "coffee", "motorcycle")} == {"1, 1, 1"}


@pytest.mark.parametrize("study", [STUDIES / "upgrade_day" / "study.py"], ids=named, indirect=True)
def test_upgrade_day_passes_what_changed_nothing_and_finds_colours_swapped(study: tuple[Path, Path]) -> None:
    text = (study[1] / "tables.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:7]] for line in text.splitlines() if line.startswith("| ")]
    verdicts = {row[0]: row[2:] for row in rows}
    assert verdicts["nothing"] == ["pass"] * 4
    assert verdicts["blue, green, red"] == ["FAIL"] * 4
    assert "layer embed" in text


def test_all_studies_are_listed() -> None:
    listed = re.findall(r"\]\((\w+)/README\.md\)", (STUDIES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [named(script) for script in SCRIPTS]


def test_kept_weights_are_small() -> None:
    sizes = [path.stat().st_size for path in STUDIES.rglob("*.safetensors")]
    assert max(sizes) < 2_000_000
    assert sum(sizes) < 20_000_000


def test_intervals_over_networks_are_students_for_a_plain_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(STUDIES / "photographs")
    import seeds

    values = [0.1, 0.4, 0.2, 0.7, 0.9]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    text = f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"
    assert seeds.mean(values, ".3f") == text
    assert seeds.over_models(lambda some: float(np.mean(some)), values, ".3f") == text
    assert seeds.mean([0.5, math.nan]) == "0.50"
    assert seeds.mean([]) == "-"
    b = [0.0, 0.1, 0.05]
    test = stats.ttest_ind(values, b, equal_var=False)
    low, high = test.confidence_interval()
    gap = f"{np.mean(values) - np.mean(b):+.2f} [{low:+.2f}, {high:+.2f}]"
    assert seeds.difference(values, b) == f"{gap}, p = {test.pvalue:.2g}"
