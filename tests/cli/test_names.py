"""Names of models, layers, files, classes and examples are data: whatever they hold, the command only shows it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.wording import for_plot

HOSTILE = "x[/red]y\x1b[31m\n::error::boo\u202e|$a_$"


@pytest.fixture(scope="module")
def hostile() -> cka.Representation:
    """A representation all of whose names are what a hostile file would hold."""
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    labels = [i % 3 for i in range(64)]
    made = cka.represent(
        {"net": net}, torch.randn(64, 6), labels=labels, batch_size=8, granularity="module", progress=False
    )
    layers = [replace(layer, name=f"{HOSTILE}{place}", path=HOSTILE) for place, layer in enumerate(made.layers)]
    classes = [f"{HOSTILE}{place}" for place in range(3)]
    ids: list[int | str] = [f"{HOSTILE}{place}" for place in range(64)]
    problems = {layers[1].name: HOSTILE}
    return replace(
        made,
        name=HOSTILE,
        layers=layers,
        example_ids=ids,
        class_names=classes,
        label_names=classes,
        problems=problems,
        skipped=[HOSTILE],
    )


def harmless(shown: str) -> bool:
    """Whether no character of a text is taken for more by a terminal, and no line by the log of a CI system."""
    lines = shown.splitlines()
    return not any(mark in shown for mark in "\x1b\u202e\r") and not any(l.lstrip().startswith("::") for l in lines)


def test_compare_shows_names_as_they_are(command, hostile: cka.Representation, tmp_path: Path) -> None:
    path = hostile.save(tmp_path / "net.safetensors")
    other = hostile.renamed(f"{HOSTILE}2").save(tmp_path / "other.safetensors")
    code, out, err = command("compare", path, other, "--blocks", "--errors")
    assert code == 0, err
    shown = out + err
    assert r"x[/red]y\x1b[31m\n\x3a:error::boo\u202e|$a_$" in shown
    assert harmless(shown)


def test_layers_and_errors_show_names_as_they_are(command, hostile: cka.Representation, tmp_path: Path) -> None:
    path = hostile.save(tmp_path / "net.safetensors")
    for arguments in (("layers", path), ("represent", HOSTILE, "--data", "sample:digits", "-o", tmp_path / "x")):
        _, out, err = command(*arguments)
        shown = out + err
        assert "x[/red]y" in shown
        assert harmless(shown)


def test_predictions_show_names_as_they_are(command, tmp_path: Path) -> None:
    rows = [f'"{HOSTILE}{i}","{HOSTILE}{i % 2}","{HOSTILE}{(i + i // 3) % 2}"' for i in range(20)]
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("id,label,prediction\n" + "\n".join(rows), encoding="utf-8")
    code, out, err = command("errors", tmp_path / "a.csv", tmp_path / "b.csv")
    assert code == 0, err
    assert harmless(out + err)


def test_pictures_take_no_name_for_a_formula(hostile: cka.Representation) -> None:
    comparison = cka.compare(hostile, hostile.renamed(r"$\frac$"))
    figure = comparison.plot()
    figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[0].get_xlabel() == for_plot(r"$\frac$")
