"""Commands import what they need and no more: first results come as soon as the libraries that make them are there."""

from __future__ import annotations

import subprocess
import sys

import pytest

_REPORT = """
import sys
from cka_plugin.cli.main import main
sys.argv = ["cka-plugin", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\n".join(sys.modules), file=sys.stderr)
"""


def imported(*command: str) -> set[str]:
    """All modules that a command has imported."""
    ran = subprocess.run([sys.executable, "-c", _REPORT, *command], capture_output=True, text=True, check=True)
    return set(ran.stderr.splitlines())


def test_help_imports_no_library_of_models() -> None:
    assert not imported("--help") & {"torch", "numpy", "timm", "transformers", "scipy", "pandas", "matplotlib"}


def test_layers_import_what_builds_the_model_and_nothing_of_analyses() -> None:
    pytest.importorskip("timm")
    found = imported("layers", "test_resnet")
    assert {"torch", "timm"} <= found
    left = {"transformers", "scipy", "scipy.stats", "pandas", "matplotlib", "sklearn", "jinja2", "datasets"}
    rooms = {"analysis", "comparison", "report", "regression", "engine", "data", "workers", "experiments", "zoo"}
    assert not found & (left | {f"cka_plugin.{room}" for room in rooms})


def test_a_check_imports_no_plots(tmp_path) -> None:
    import cka_plugin as cka

    baseline = tmp_path / "baseline.safetensors"
    cka.make_baseline("sample:narrow", "sample:digits", max_examples=64, progress=False).save(baseline)
    found = imported("check", "sample:narrow", "--baseline", str(baseline), "--data", "sample:digits", "--quiet")
    assert not found & {"transformers", "pandas", "matplotlib", "sklearn", "jinja2", "datasets"}
