"""The studies run, quickly, from what the repository keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

STUDIES = ROOT / "examples" / "studies"


def test_width_depth_and_data_finds_the_block_of_the_deep_network_alone(tmp_path: Path) -> None:
    script = STUDIES / "width_depth_data" / "study.py"
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, "--quick", "--out", tmp_path], check=True, env=environment, cwd=tmp_path)
    lines = (tmp_path / "tables.md").read_text(encoding="utf-8").splitlines()
    verdicts = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in lines if line.startswith("| d")}
    assert verdicts == {"d14 w1 n250 s0": "none", "d14 w1 n500 s0": "none", "d56 w1 n500 s1": "strong"}
    assert {path.name for path in tmp_path.iterdir()} == {"tables.md", "heatmaps.png", "dominant.png"}


def test_kept_weights_are_small() -> None:
    sizes = [path.stat().st_size for path in STUDIES.rglob("*.safetensors")]
    assert max(sizes) < 2_000_000
    assert sum(sizes) < 20_000_000
