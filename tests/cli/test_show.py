"""`cka-plugin show`: what a saved file holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cka_plugin as cka

OPTIONS = {"data": "sample:digits", "max_examples": 64, "batch_size": 16, "progress": False}


def test_a_saved_comparison_is_shown_as_compare_did(command, tmp_path: Path) -> None:
    file = tmp_path / "both.safetensors"
    arguments = ("--data", "sample:digits", "--max-examples", 64, "--batch-size", 16, "-q")
    code, first, _ = command("compare", "sample:narrow", "sample:vit", *arguments, "--save", file)
    assert code == 0
    assert command("show", file)[:2] == (0, first)
    code, out, _ = command("show", file, "--plot", tmp_path / "p.png", "--blocks", "--errors", "--json")
    assert code == 0
    assert {"matrices", "block_structure", "errors"} <= set(json.loads(out))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_representation_is_shown_with_its_layers_examples_and_preparation(command, tmp_path: Path) -> None:
    file = cka.represent("sample:narrow", **OPTIONS).save(tmp_path / "narrow.safetensors")
    code, out, _ = command("show", file)
    assert code == 0
    for said in ("stages.0.blocks.0", "64 examples in 4 minibatches of 16", "Accuracy ", "Prepared for narrow: "):
        assert said in out
    assert json.loads(command("show", file, "--json")[1])["examples"] == 64


@pytest.mark.parametrize("name", ["nowhere.safetensors", "other.txt"])
def test_what_is_no_saved_file_is_an_error_with_its_name(command, name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.txt").write_text("hello")
    code, _, said = command("show", name)
    assert code == 2
    assert name in said
