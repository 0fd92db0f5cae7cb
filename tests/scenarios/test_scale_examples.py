"""The examples for many workers run, and give what one process gives."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.executors import over_executor
from tests.support import ROOT

SCALE = ROOT / "examples" / "scale"
SMALL = {"max_examples": 64, "batch_size": 16}


def slurm(script: str, task: int, count: int, **variables: str | Path) -> None:
    """Run a job file as Slurm would run one task of an array."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": str(task),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "DATA": "sample:digits",
        "OPTIONS": "--max-examples 64 --batch-size 16",
        **{name: str(value) for name, value in variables.items()},
    }
    done = subprocess.run(["bash", str(SCALE / script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def agree(found: cka.Comparison, names: list[str]) -> bool:
    whole = cka.compare(*names, data="sample:digits", progress=False, **SMALL)
    return bool(np.abs(found.matrix() - whole.matrix()).max() < 1e-6)


def test_one_model_over_the_tasks_of_an_array(tmp_path: Path) -> None:
    for task in (1, 0):
        slurm("represent.sbatch", task, 2, MODEL="sample:narrow", OUT=tmp_path / "out")
    slurm("merge.sbatch", 0, 1, OUT=tmp_path / "out")
    whole = cka.load(tmp_path / "out" / "whole.safetensors")
    assert whole.n_examples == 64
    assert agree(cka.compare(whole), ["sample:narrow"])


def test_functions_that_use_the_package_can_be_sent_to_workers() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")  # what Dask, Ray and submitit send functions by
    assert cloudpickle.loads(cloudpickle.dumps(cka)) is cka
    assert cloudpickle.loads(cloudpickle.dumps(lambda: cka.represent))() is cka.represent


@pytest.mark.parametrize("over", ["processes", "dask", "slurm"])
def test_a_zoo_over_the_workers_that_there_are(tmp_path: Path, over: str) -> None:
    for package in {"dask": ["distributed"], "slurm": ["submitit"]}.get(over, []):
        pytest.importorskip(package)
    code = shlex.split("sample:narrow sample:wide --data sample:digits --max-examples 64 --batch-size 16")
    command = [sys.executable, str(SCALE / "zoo.py"), *code, "--out", str(tmp_path), "--over", over]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Most similar to ") == 2
    assert list((tmp_path / "tiles").iterdir()), "the pairs were shared too"
    found = cka.compare(tmp_path)
    assert found.names == ["narrow", "wide"]
    assert agree(found, ["sample:narrow", "sample:wide"])


def test_ray_takes_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(
        remote=lambda function: SimpleNamespace(remote=lambda *arguments: (function, arguments)),
        get=lambda reference: reference[0](*reference[1]),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    zoo = runpy.run_path(str(SCALE / "zoo.py"))
    assert list(over_executor(zoo["OverRay"](), abs, [-1, -2])) == [(0, 1, None), (1, 2, None)]


def test_the_guide_names_files_that_exist() -> None:
    guide = (SCALE / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+\.(?:sbatch|py))`", guide)
    assert sorted(set(named)) == sorted(path.name for path in SCALE.iterdir() if path.suffix in (".sbatch", ".py"))
