"""A zoo: what is missing or has changed is run, what fails is listed, and the rest goes on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.representation.folder import read_manifest
from cka_plugin.zoo.task import Outcome, Task, represent_one
from tests.support.zoo import OPTIONS, data, network, same_bits

ZOO = {"a": partial(network, 1), "b": partial(network, 2), "c": partial(network, 3, 12)}


def because(folder: Path) -> dict[str, Any]:
    return {name: entry.get("because", entry["state"]) for name, entry in read_manifest(folder)["models"].items()}


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ArithmeticError("no forward pass today")


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that are run from here on."""
    import cka_plugin.zoo.task as task

    ran: list[str] = []
    whole = task.over_data
    monkeypatch.setattr(task, "over_data", lambda models, *rest: ran.append(models[0][0]) or whole(models, *rest))
    return ran


def test_each_model_leaves_the_file_that_represent_would_save(tmp_path: Path) -> None:
    files = cka.represent_all(ZOO, data(), tmp_path / "zoo", **OPTIONS)
    assert [file.name for file in files] == ["a.safetensors", "b.safetensors", "c.safetensors"]
    alone = cka.represent(network(3, 12), data(), name="c", **OPTIONS).save(tmp_path / "alone.safetensors")
    assert alone.read_bytes() == files[2].read_bytes()


def test_models_are_named_by_what_they_are_where_no_mapping_names_them(tmp_path: Path) -> None:
    given = ["sample:narrow", "sample:wide", network(1), network]
    options = {"max_examples": 32, "progress": False}
    with pytest.raises(RuntimeError, match=r"2 of 4 models failed: Sequential \(ValueError.*network \(TypeError"):
        cka.represent_all(given, "sample:digits", tmp_path, **options)
    assert list(read_manifest(tmp_path)["models"]) == ["narrow", "wide", "Sequential", "network"]


def test_any_executor_gives_the_same_bits(tmp_path: Path) -> None:
    alone = cka.represent_all(ZOO, data(), tmp_path / "alone", **OPTIONS)
    with ThreadPoolExecutor(3) as executor:
        threads = cka.represent_all(ZOO, data(), tmp_path / "threads", executor, **OPTIONS)
    assert all(map(same_bits, alone, threads))


def test_what_is_there_and_unchanged_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    before = [file.stat().st_mtime_ns for file in first]
    ran = counted(monkeypatch)
    again = cka.represent_all({**ZOO, "d": partial(network, 4)}, data(), tmp_path, **OPTIONS)
    assert ran == ["d"]
    assert again[:3] == first
    assert [file.stat().st_mtime_ns for file in first] == before
    assert because(tmp_path) == dict.fromkeys("abcd", "new")


def test_what_has_changed_is_run_again_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    ran = counted(monkeypatch)
    cka.represent_all({**ZOO, "b": partial(network, 9)}, data(), tmp_path, **OPTIONS)
    assert ran == ["b"]
    assert because(tmp_path)["b"] == "weights have changed"
    cka.represent_all({"a": ZOO["a"]}, data() + 1, tmp_path, **OPTIONS)
    assert because(tmp_path)["a"] == "data have changed"
    cka.represent_all({"c": ZOO["c"]}, data(), tmp_path, labels=torch.arange(160) % 3, **OPTIONS)
    assert because(tmp_path)["c"].startswith("options have changed: labels None, now 'array of int64, shape (160,)")
    cka.represent_all({"c": ZOO["c"]}, data(), tmp_path, **{**OPTIONS, "batch_size": 20})
    assert because(tmp_path)["c"].endswith("batch_size 16, now 20")
    (tmp_path / "b.safetensors").write_bytes(b"not what was written")
    cka.represent_all({"b": partial(network, 9)}, data(), tmp_path, **OPTIONS)
    assert because(tmp_path)["b"] == "its file is missing, or another"


def test_a_model_that_fails_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    given = {"a": ZOO["a"], "broken": Failing(), "b": ZOO["b"]}
    with pytest.raises(RuntimeError, match=r"1 of 3 models failed: broken \(.*no forward pass today.*runs these alone"):
        cka.represent_all(given, data(), tmp_path, **OPTIONS)
    assert {name: entry["state"] for name, entry in read_manifest(tmp_path)["models"].items()} == {
        "a": "done",
        "broken": "failed",
        "b": "done",
    }
    with pytest.warns(cka.CKAWarning, match="1 of 3 models failed: broken"):
        files = cka.represent_all(given, data(), tmp_path, on_failure="warn", **OPTIONS)
    assert [file.stem for file in files] == ["a", "b"]
    cka.represent_all({"broken": ZOO["c"]}, data(), tmp_path, **OPTIONS)
    assert because(tmp_path)["broken"] == "failed before"


def test_a_folder_is_compared_as_the_models_in_it(tmp_path: Path) -> None:
    files = cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    found, one_by_one = cka.compare(tmp_path), cka.compare(*files)
    assert found.names == ["a", "b", "c"]
    assert (found.models() == one_by_one.models()).all()
    with pytest.raises(RuntimeError):
        cka.represent_all({"broken": Failing()}, data(), tmp_path, **OPTIONS)
    with pytest.warns(cka.CKAWarning, match="1 models of .* have failed, and are left out: broken"):
        assert cka.compare(tmp_path).names == ["a", "b", "c"]
    (tmp_path / "manifest.json").unlink()
    assert cka.compare(tmp_path).names == ["a", "b", "c"]
    cka.represent_all(ZOO, data(), tmp_path, **OPTIONS)
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match="is gone, which .* has for b: represent it again"):
        cka.compare(tmp_path)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"folder": None}, ValueError, "needs a folder"),
        ({"executor": 4}, TypeError, r"executor 4: expected something with submit"),
        ({"on_failure": "skip"}, ValueError, "on_failure 'skip': expected 'raise' or 'warn'"),
        ({"data": (x for x in [data()])}, ValueError, "can be read once only"),
        ({"data": data()[:3]}, ValueError, "CKA needs at least 4"),
        ({"models": []}, ValueError, "no models given"),
        ({"models": [3]}, TypeError, "a model is a name"),
        ({"transforms": {"z": len}}, ValueError, "transforms names 'z'"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    call = {"models": ZOO, "data": data(), "folder": tmp_path / "zoo", **OPTIONS, **given}
    with pytest.raises(error, match=message):
        cka.represent_all(**call)
    assert not (tmp_path / "zoo").exists()


def test_saved_representations_are_no_models_to_run(tmp_path: Path) -> None:
    file = cka.represent(network(1), data(), name="a", **OPTIONS).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a is a saved representation, which need not be run"):
        cka.represent_all([file], data(), tmp_path / "zoo", **OPTIONS)


def test_the_manifest_says_what_was_asked_and_what_came_of_it(tmp_path: Path) -> None:
    cka.represent_all({"a": network(1)}, data(), tmp_path, **OPTIONS)
    entry = json.loads((tmp_path / "manifest.json").read_text())["models"]["a"]
    assert entry["options"]["batch_size"] == 16
    assert entry["data"]["examples"] == entry["examples"] == 160
    assert entry["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert (entry["layers"], entry["parameters"], entry["minibatches"]) == (5, 155, 10)
    assert entry["bytes"] == (tmp_path / "a.safetensors").stat().st_size


def test_what_workers_warn_of_is_said_once_for_all_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(task: Task) -> Outcome:
        return represent_one(replace(task, sender=-1))

    monkeypatch.setattr("cka_plugin.zoo.run.represent_one", elsewhere)
    twice = data()
    twice[80:] = twice[:80]
    with pytest.warns(cka.CKAWarning) as caught:
        cka.represent_all(ZOO, twice, tmp_path, **OPTIONS)
    of_models = [str(one.message) for one in caught if str(one.message).startswith("a, b, c: ")]
    assert len(of_models) == 1
    assert "repeat the content of an earlier one" in of_models[0]


def test_a_progress_bar_counts_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cka.represent_all(ZOO, data(), tmp_path, **{**OPTIONS, "progress": True})
    assert capsys.readouterr().err.endswith(f"{tmp_path}: 3 models: 3 new\n")
