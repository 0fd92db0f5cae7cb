"""`cka-plugin zoo`: what it will do comes first; then it does it, and only what is left of it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cka_plugin as cka
from cka_plugin.zoo import workers

GIVEN = ("--data", "sample:digits", "--max-examples", "64", "--quiet")


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads in place of processes, which take seconds to start."""
    monkeypatch.setattr(workers, "ProcessWorkers", lambda count: ThreadPoolExecutor(count))


@pytest.mark.usefixtures("in_threads")
def test_what_will_be_done_comes_first(command, tmp_path: Path) -> None:
    code, out, _ = command("zoo", "sample:narrow", "sample:wide", *GIVEN, "--out", tmp_path / "zoo", "--dry-run")
    assert code == 0
    assert out.split("\n")[0].split() == ["model", "layers", "parameters", "file", "about", "why"]
    assert out.split("\n")[2].split() == ["narrow", "10", "0.1", "M", "0.1", "MB", "1", "s", "new"]
    assert "2 models to run: 0.2 MB of files, about" in out
    assert not (tmp_path / "zoo").exists()


@pytest.mark.usefixtures("in_threads")
def test_what_is_there_is_not_run_again(command, tmp_path: Path) -> None:
    code, out, _ = command("zoo", "sample:narrow", *GIVEN, "--out", tmp_path)
    assert code == 0
    assert f"1 models are in {tmp_path}; compare them: cka-plugin compare {tmp_path}" in out.replace("\n", " ")
    code, out, _ = command("zoo", "sample:narrow", "sample:wide", *GIVEN, "--out", tmp_path, "--workers", 2)
    assert "1 models to run" in out
    assert f"1 models are in {tmp_path} already" in out.replace("\n", " ")
    assert cka.compare(tmp_path).names == ["narrow", "wide"]
    code, out, _ = command("compare", tmp_path)
    assert code == 0
    assert "narrow and wide" in out


def test_processes_do_it(command, tmp_path: Path) -> None:
    code, out, _ = command("zoo", "sample:narrow", *GIVEN, "--out", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {"files": [str(tmp_path / "narrow.safetensors")]}


@pytest.mark.usefixtures("in_threads")
def test_models_that_fail_are_named_in_the_end(command, tmp_path: Path) -> None:
    code, out, said = command("zoo", "no-such-model", "sample:narrow", *GIVEN, "--out", tmp_path)
    assert code == 2
    assert "cannot be looked at: ValueError: unknown model 'no-such-model'" in out.replace("\n", " ")
    assert "1 of 2 models failed: no-such-model" in said
    assert (tmp_path / "narrow.safetensors").exists()


@pytest.mark.usefixtures("in_threads")
def test_the_size_is_that_of_the_files_and_the_plan_can_be_read_by_machines(command, tmp_path: Path) -> None:
    given = ("sample:narrow", "sample:vit", *GIVEN, "--out", tmp_path)
    code, out, _ = command("zoo", *given, "--dry-run", "--json")
    assert code == 0
    planned = {one["name"]: one for one in json.loads(out)}
    command("zoo", *given)
    for name, one in planned.items():
        made = cka.load(tmp_path / f"{name}.safetensors")
        assert one["layers"] == len(made.layers)
        assert one["parameters"] == made.options["model"]["parameters"]
        arrays = sum(array.nbytes for array in [*made.vectors, *made.diagonals, made.logits])
        assert abs(one["bytes"] - arrays) / arrays < 0.02


@pytest.mark.usefixtures("in_threads")
def test_a_disk_that_is_too_small_is_said_before_anything_runs(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    code, _, said = command("zoo", "sample:narrow", *GIVEN, "--out", tmp_path / "zoo")
    assert code == 2
    assert "the files need 0.1 MB, and 0.0 MB are free" in said
    assert not (tmp_path / "zoo").exists()


def test_patterns_are_of_names_with_weights_unless_said_otherwise(command, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from cka_plugin.models.patterns import names_of

    every, trained = names_of(["vit_*"], pretrained=False), names_of(["vit_*"])
    assert set(trained) < set(every)
    assert "vit_base_patch16_224" in trained
    assert all("." in name for name in names_of(["resnet18.*"]))
    code, _, said = command("zoo", "nothing*", *GIVEN, "--out", tmp_path)
    assert (code, "no model of timm fits 'nothing*'" in said) == (2, True)
    with pytest.raises(ValueError, match=r"pattern 'tim:a\*': no framework is called 'tim'"):
        names_of(["tim:a*"])
