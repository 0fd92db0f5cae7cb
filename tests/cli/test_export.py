"""`cka-plugin export`: what was saved, for other tools."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cka_plugin as cka
from tests.support.nets import ConvNet, images


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("saved")
    options = {"labels": torch.arange(40) % 5, "batch_size": 20, "progress": False}
    return [cka.represent({n: ConvNet()}, images(40), **options).save(folder / f"{n}.safetensors") for n in "ab"]


def test_it_writes_arrays_and_says_where_they_are_explained(command, saved: list[Path], tmp_path: Path) -> None:
    code, out, _ = command("export", *saved, "-o", tmp_path / "out")
    assert code == 0
    assert f"written to {tmp_path / 'out'}; {tmp_path / 'out' / 'README.md'} says how to read them" in out
    assert (tmp_path / "out" / "b" / "features" / "0001.npz").is_file()


def test_it_writes_node_data(command, saved: list[Path], tmp_path: Path) -> None:
    code, _, _ = command("export", *saved, "-o", tmp_path / "out", "--format", "model-explorer")
    assert code == 0
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_what_cannot_be_is_one_line(command, saved: list[Path], tmp_path: Path) -> None:
    code, _, said = command("export", saved[0], "-o", tmp_path, "--format", "csv")
    assert (code, said) == (2, "error: format 'csv': expected arrays or model-explorer\n")
    code, _, said = command("export", saved[0], "-o", saved[0].parent)
    assert code == 2
    assert "is not empty; give a new folder" in said
