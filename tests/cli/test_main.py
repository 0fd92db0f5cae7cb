"""The command line: tables for people, JSON for machines, one line for errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cka_plugin as cka

SMALL = ("--data", "sample:digits", "--max-examples", "160", "--batch-size", "20", "-q")


def test_compare_prints_the_best_match_of_each_layer(command) -> None:
    code, out, _ = command("compare", "sample:narrow", "sample:vit", *SMALL)
    assert code == 0
    assert "layer of narrow" in out
    assert "stages.0.blocks.0 (layer1.0)" in out
    assert "95% interval" in out
    assert "160 examples in 8 minibatches of 20, unbiased estimator." in out


def test_compare_as_json_is_what_the_call_gives(command) -> None:
    code, out, _ = command("compare", "sample:narrow", "sample:vit", *SMALL, "--json")
    assert code == 0
    found = json.loads(out)
    expected = cka.compare(
        "sample:narrow", "sample:vit", data="sample:digits", max_examples=160, batch_size=20, progress=False
    )
    between = next(m for m in found["matrices"] if (m["a"], m["b"]) == ("narrow", "vit"))
    assert np.array_equal(np.array(between["cka"]), expected.matrix())
    assert [m["name"] for m in found["models"]] == ["narrow", "vit"]


def test_represent_merge_and_compare_saved(command, tmp_path: Path) -> None:
    for i in range(2):
        code, out, _ = command("represent", "sample:narrow", *SMALL, "--shard", f"{i}/2", "-o", tmp_path / f"{i}.st")
        assert code == 0
        assert f"shard {i} of 2" in out
    assert command("merge", tmp_path / "0.st", tmp_path / "1.st", "-o", tmp_path / "narrow.st")[0] == 0
    assert command("represent", "sample:vit", *SMALL, "-o", tmp_path / "vit.st", "--json")[0] == 0
    code, out, _ = command(
        "compare",
        tmp_path / "narrow.st",
        tmp_path / "vit.st",
        "--save",
        tmp_path / "both.st",
        "--plot",
        tmp_path / "p.png",
    )
    assert code == 0
    assert cka.load(tmp_path / "both.st").names == ["narrow", "vit"]
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_layers_prints_names_kinds_depths_and_paths(command) -> None:
    code, out, _ = command("layers", "sample:narrow")
    assert code == 0
    assert "stages.0.blocks.0" in out
    assert "layer1.0" in out
    code, out, _ = command("layers", "sample:narrow", "--granularity", "stage", "--json")
    assert [row["name"] for row in json.loads(out)] == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]


def test_layers_of_a_name_needs_no_weights(command) -> None:
    code, out, _ = command("layers", "timm:test_resnet", "--json")
    assert code == 0
    assert json.loads(out)[-1]["name"] == "head"


def test_layers_finds_names(command) -> None:
    code, out, _ = command("layers", "--list", "test_resnet*")
    assert code == 0
    assert "timm:test_resnet" in out.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "resnet5O", *SMALL), "unknown model 'resnet5O'; did you mean"),
        (("compare", "sample:narrow", "--data", "nowhere"), "no such data: nowhere"),
        (("represent", "sample:narrow", *SMALL, "-o", "no/where.st"), "the folder no does not exist"),
        (("represent", "sample:narrow", *SMALL, "-o", "x.st", "--shard", "3/2"), "shard 3/2: expected I/N"),
        (("layers",), "give either a model or --list"),
        (("layers", "--list", "zzzz*"), "no model name matches"),
        (("compare",), "Missing argument"),
        (("nonsense",), "No such command"),
    ],
)
def test_errors_are_one_line_with_exit_code_2(
    command, arguments: tuple, message: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, errors = command(*arguments)
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith("error: ")
    assert out == ""


def test_the_demo_computes_what_it_prints(command, tmp_path: Path) -> None:
    code, out, _ = command("demo", "--sample", "digits", "--out", tmp_path / "out", "-q")
    assert code == 0
    assert "narrow and vit" in out
    pictures = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert "all-pairs.png" in pictures
    assert "narrow-vit.png" in pictures
    assert "report.html" in pictures
    assert len(pictures) == 12


def test_the_demo_on_crops_fits_one_screen_and_says_where_the_block_is(command, tmp_path: Path) -> None:
    code, out, _ = command("demo", "--out", tmp_path / "out", "-q")
    assert code == 0
    lines = out.splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines if not line.startswith("Page: ")) <= 80
    assert "  shallow: none. " in out
    assert "  deep: strong. stages.0.blocks.1 to stages.2.blocks.7 (25 of 29 layers)" in out
    assert "of immunohistochemistry (9)" in out
    assert "shallow and deep: different" in out
    assert len(list((tmp_path / "out").iterdir())) == 8  # the page, all pairs, and each of 6


def test_an_unknown_sample_of_the_demo_is_named_with_those_there_are(command, tmp_path: Path) -> None:
    code, _, errors = command("demo", "--sample", "cats", "--out", tmp_path / "out", "-q")
    assert code == 2
    assert "'cats': there are crops and digits" in errors


def test_probe_and_ablate_print_a_row_a_layer_and_json(command) -> None:
    pytest.importorskip("sklearn")
    data = ("--data", "sample:digits", "--max-examples", "80", "-q")
    code, out, _ = command("probe", "sample:narrow", *data, "--folds", "3", "--granularity", "stage")
    assert code == 0
    assert "the most frequent class alone gives" in out
    assert "stages.3" in out
    code, out, _ = command("ablate", "sample:narrow", *data, "--json")
    assert code == 0
    found = json.loads(out)
    assert len(found["blocks"]) == 8
    assert {row["shortcut"] for row in found["blocks"]} == {"identity", "downsample path"}
    assert found["n_examples"] == 80


def test_errors_of_one_model_alone_are_refused_before_it_runs(command) -> None:
    code, _, errors = command("compare", "sample:narrow", *SMALL, "--errors")
    assert code == 2
    assert "two or more models" in errors
