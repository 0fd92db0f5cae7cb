"""`--plot`: a file, a kind, or a kind and its file."""

from __future__ import annotations

from pathlib import Path

import pytest

import cka_plugin as cka
from cka_plugin.cli.pictures import Wanted, read_pictures

OPTIONS = {"data": "sample:digits", "max_examples": 64, "batch_size": 16, "progress": False}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    return cka.compare("sample:narrow", "sample:wide", **OPTIONS).save(folder / "both.safetensors")


def test_kinds_are_drawn_by_name_each_into_its_file(command, saved: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = command("show", saved, "--plot", "models", "--plot", "depth=d.svg", "--plot", "heat.png")
    assert code == 0, err
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "d.svg").read_text(encoding="utf-8")
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    assert "Picture: models.png" in out


def test_a_kind_of_one_model_is_drawn_for_each(command, saved: Path, tmp_path: Path) -> None:
    code, _, err = command("show", saved, "--plot", f"projections={tmp_path / 'p.png'}")
    assert code == 0, err
    assert {path.name for path in tmp_path.glob("*.png")} == {"p-narrow.png", "p-wide.png"}


def test_a_kind_that_cannot_be_drawn_takes_no_other_away(command, tmp_path: Path) -> None:
    alone = cka.represent("sample:narrow", **OPTIONS).save(tmp_path / "one.safetensors")
    made = tmp_path / "heat.png"
    code, _, err = command("show", alone, "--plot", f"models={tmp_path / 'm.png'}", "--plot", made)
    assert code == 2
    assert "two or more models: given 1" in err
    assert made.exists()


def test_what_is_neither_is_an_error_before_any_work() -> None:
    with pytest.raises(ValueError, match=r"--plot heat: expected a file .* or a kind: heatmap"):
        read_pictures(["heat"])
    with pytest.raises(ValueError, match="there is no kind 'heat'; there are heatmap"):
        read_pictures(["heat=a.png"])
    with pytest.raises(FileNotFoundError, match="the folder nowhere does not exist"):
        read_pictures(["blocks=nowhere/a.png"])
    assert read_pictures(["./a=b.png"]) == [Wanted(None, Path("a=b.png"))]
