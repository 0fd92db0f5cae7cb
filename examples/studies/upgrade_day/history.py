"""A git repository of the release, and pytest in it as CI runs it. The user's settings of git play no part."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from cka_plugin import sample

HERE = Path(__file__).parent
GIT = ("git", "-c", "user.name=Upgrade Day", "-c", "user.email=day@example.org", "-c", "commit.gpgsign=false")
OWN = {"GIT_CONFIG_GLOBAL": os.devnull, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
SURROUNDINGS = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | OWN


def git(repository: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=repository, check=True, capture_output=True, env=SURROUNDINGS)


def commit(repository: Path, message: str) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--allow-empty", "--message", message)


def tested(repository: Path, *options: str) -> dict[str, ElementTree.Element]:
    """Run pytest as CI does; its tests by their names. What it printed and the reports lie beside the repository."""
    reports = repository.parent / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "cka_plugin.pytest_plugin"]
    command += ["-o", "junit_family=xunit1", f"--junitxml={reports / 'junit.xml'}", f"--cka-report={reports}", *options]
    ran = subprocess.run(command, cwd=repository, env=SURROUNDINGS, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1) or not (reports / "junit.xml").exists():  # 1: tests failed, or there is no pytest
        raise RuntimeError(f"pytest did not run: {ran.stdout}{ran.stderr}")
    (reports / "printed.txt").write_text(ran.stdout, encoding="utf-8")
    return {case.get("name"): case for case in ElementTree.parse(reports / "junit.xml").iter("testcase")}


def result_of(case: ElementTree.Element, report: Path) -> dict[str, Any]:
    """The `CheckResult` of a guard as plain data: of its report where it failed, else as the test recorded it."""
    recorded = case.find("properties/property[@name='result']")
    if recorded is None and not report.exists():
        raise RuntimeError(f"{case.get('name')} could not judge: {report.with_name('printed.txt').read_text()}")
    return json.loads(report.read_text(encoding="utf-8") if recorded is None else recorded.get("value"))


def begin(repository: Path, each: int) -> None:
    """Release 1.0: code, weights, pictures, and what later versions are held against."""
    shutil.copytree(HERE / "release", repository, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(sample.model_folder("crops-vit") / "model.safetensors", repository)
    rng = np.random.default_rng(0)
    for name, file in sample.PHOTOGRAPHS.items():
        photograph = Image.open(Path(find_spec("skimage").origin).parent / "data" / file).convert("RGB")
        (repository / "pictures" / name).mkdir(parents=True)
        for number in range(each):  # the network was trained on the left 70% of each photograph
            left = int(rng.integers(int(0.7 * photograph.width), photograph.width - 32))
            top = int(rng.integers(0, photograph.height - 32))
            square = photograph.crop((left, top, left + 32, top + 32))
            square.save(repository / "pictures" / name / f"{number:02d}.png")
    git(repository, "init", "--quiet", "--initial-branch=main")
    tested(repository, "--cka-update")
    commit(repository, "Release 1.0")
