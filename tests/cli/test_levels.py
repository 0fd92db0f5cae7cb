"""`--levels` and `--measure`: what a terminal shows, JSON, and files made without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import cka_plugin as cka
from tests.support.nets import ConvNet, images

DATA = images(160)
ARGUMENTS = ("sample:narrow", "sample:wide", "--data", "sample:digits", "--max-examples", 160, "--batch-size", 20)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison without levels, and the data it was made on."""
    folder = tmp_path_factory.mktemp("levels")
    np.save(folder / "data.npy", DATA.numpy())
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    cka.compare(nets, data=folder / "data.npy", batch_size=20, progress=False).save(folder / "both.safetensors")
    return folder


def test_compare_shows_the_levels_of_the_first_model_and_each_other(command) -> None:
    pytest.importorskip("timm")
    code, out, said = command("compare", *ARGUMENTS, "--levels")
    assert code == 0, said
    assert "levels: 2 untrained copies beside 2 models: 320 more forward passes (160 examples through" in said
    assert "Layers of narrow, each with its best match in wide" in out
    assert "lie above the untrained" in " ".join(out.split())
    shown = out[: out.index("160 examples in 8 minibatches of 20, unbiased")]
    assert max(map(len, shown.splitlines())) <= 80
    assert "no untrained" not in out


def test_json_has_every_column(command) -> None:
    pytest.importorskip("timm")
    code, out, _ = command("compare", *ARGUMENTS, "--levels", "--quiet", "--json")
    (levels,) = json.loads(out)["levels"]
    assert code == 0
    assert levels["missing"] == {}
    assert all(value is not None for value in levels["layers"][0].values())
    assert levels["sentence"].startswith("narrow and wide: ")


def test_a_file_made_without_levels_shows_all_but_what_only_running_gives(command, saved: Path) -> None:
    code, out, _ = command("show", saved / "both.safetensors", "--levels")
    assert code == 0
    text = " ".join(out.split())
    assert "no untrained: no untrained copy was run: compare(..., levels=True), or --levels" in text
    assert "no input: the file holds no inputs: give the data (data=, --data)" in text
    with_data = ("show", saved / "both.safetensors", "--levels", "--data", saved / "data.npy", "--json")
    (levels,) = json.loads(command(*with_data)[1])["levels"]
    assert set(levels["missing"]) == {"untrained", "labels"}
    code, out, said = command("compare", saved / "both.safetensors", "--levels", "--data", saved / "data.npy")
    assert code == 0, said
    assert "no input" not in out


@pytest.mark.parametrize("measure", ["mutual_knn", "rsa", "bures"])
def test_a_measure_is_shown_with_its_interval_and_its_chance(command, saved: Path, measure: str) -> None:
    code, out, said = command("show", saved / "both.safetensors", "--measure", measure)
    assert code == 0, said
    assert measure in out
    assert "chance: what the best of as many unrelated layers reaches in 1 draw of 20" in out
    assert "here n = 20" in " ".join(out.split())
    (found,) = json.loads(command("show", saved / "both.safetensors", "--measure", measure, "--json")[1])["measured"]
    matrix = cka.load(saved / "both.safetensors").matrix("a", "b", measure=measure)
    assert np.allclose(found["matrix"], matrix)
    assert [row["value"] for row in found["best"]] == pytest.approx(matrix.max(1).tolist())


def test_with_levels_the_measure_is_the_second_one(command, saved: Path) -> None:
    out = command("show", saved / "both.safetensors", "--levels", "--measure", "rsa")[1]
    assert "rsa of the two" in out


def test_what_cannot_be_shown_is_said_before_any_model_runs(command, saved: Path) -> None:
    code, _, said = command("compare", "a model that nothing knows", "--data", "nowhere", "--measure", "cca")
    assert code == 2
    assert "measure 'cca': expected one of cka, mutual_knn, rsa, bures" in said
    code, _, said = command("compare", "sample:narrow", "--data", "sample:digits", "--levels")
    assert code == 2
    assert "--levels holds two or more models against one another; given sample:narrow alone" in said


def test_represent_keeps_levels_for_later(command, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    for name in ("narrow", "wide"):
        given = (f"sample:{name}", *ARGUMENTS[2:], "--levels", "-o", tmp_path / f"{name}.st")
        code, _, said = command("represent", *given)
        assert code == 0, said
    code, out, said = command("compare", tmp_path / "narrow.st", tmp_path / "wide.st", "--levels")
    assert code == 0, said
    assert "no untrained" not in out
    assert "no input" not in out


def test_torch_is_seeded_by_nothing_here() -> None:
    before = torch.get_rng_state()
    nets = {"a": ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    cka.compare(nets, data=DATA, batch_size=20, levels=True, progress=False).levels(draws=19)
    assert torch.equal(before, torch.get_rng_state())
