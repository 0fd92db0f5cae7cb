"""Warnings point at the user's line."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support import ROOT


def test_a_warning_points_at_the_line_that_made_the_call() -> None:
    dead = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    nn.init.zeros_(dead[0].weight)
    x = torch.randn(20, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        here = "cka.compare({"  # a part of the next line
        cka.compare({"net": dead, "again": dead}, data=x, granularity="module", progress=False)
        cka.cka(x, torch.ones(20, 3))
    ours = [warning for warning in caught if issubclass(warning.category, cka.CKAWarning)]
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert ours
    for warning in ours:
        assert Path(warning.filename) == Path(__file__)
    assert here in lines[ours[0].lineno - 1]
    assert "cka.cka(" in lines[ours[-1].lineno - 1]


@pytest.mark.parametrize("folder", ["cka_plugin", "adapters"])
def test_nothing_here_warns_but_by_the_one_function(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        if path == ROOT / "cka_plugin" / "warnings.py":
            continue
        called = [
            ast.unparse(node.func)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Call)
        ]
        assert "warnings.warn" not in called, f"{path}: use cka_plugin.warnings.warn, which points at the user's line"
