"""`cka-plugin layers --data`: what runs, and which axes hold the examples."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import cka_plugin as cka
from tests.support.folded import Pairs


def test_layers_with_data_says_where_the_rows_of_the_examples_lie(command) -> None:
    code, out, _ = command("layers", "sample:vit", "--data", "sample:digits", "--json")
    assert code == 0
    found = json.loads(out)
    assert {layer["rows"] for layer in found} == {"axis 0"}
    code, out, _ = command("layers", "sample:vit", "--data", "sample:digits")
    assert "examples" in out.splitlines()[0]


def test_layers_of_a_saved_representation_say_it_too(command, tmp_path: Path) -> None:
    a, b = torch.randn(2, 32, 6)
    options = {"batch_size": 8, "granularity": "module", "progress": False}
    cka.represent({"net": Pairs()}, {"a": a, "b": b}, **options).save(tmp_path / "pairs.st")
    code, out, _ = command("layers", tmp_path / "pairs.st", "--json")
    assert code == 0
    assert [layer["rows"] for layer in json.loads(out)] == [*["axis 0, 2 rows an example, n apart"] * 2, "axis 0"]
