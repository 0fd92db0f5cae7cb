"""The examples for many workers run, and give what one process gives."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cka_plugin as cka
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


def test_one_model_a_task(tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("sample:narrow\nsample:wide\n")
    slurm("zoo.sbatch", 1, 2, MODELS=tmp_path / "models.txt", OUT=tmp_path / "zoo")
    found = cka.compare(tmp_path / "zoo" / "sample_wide.safetensors")
    assert found.names == ["sample:wide"]
    assert agree(found, ["sample:wide"])


def test_functions_that_use_the_package_can_be_sent_to_workers() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")  # what Dask, Ray and submitit send functions by
    assert cloudpickle.loads(cloudpickle.dumps(cka)) is cka
    assert cloudpickle.loads(cloudpickle.dumps(lambda: cka.represent))() is cka.represent


def test_a_zoo_over_the_workers_of_a_dask_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("distributed")
    code = shlex.split("sample:narrow sample:wide --data sample:digits --max-examples 64 --batch-size 16")
    command = [sys.executable, str(SCALE / "zoo_dask.py"), *code, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: ") == 2
    found = cka.load(tmp_path / "zoo.safetensors")
    assert found.names == ["sample:narrow", "sample:wide"]
    assert agree(found, found.names)


def test_the_guide_names_files_that_exist() -> None:
    guide = (SCALE / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+\.(?:sbatch|py))`", guide)
    assert sorted(set(named)) == sorted(path.name for path in SCALE.iterdir() if path.suffix in (".sbatch", ".py"))
