"""The manifest: names of files, entries of other calls, damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from cka_plugin.options import Options
from cka_plugin.zoo.asked import options_asked
from cka_plugin.zoo.manifest import Manifest, why_again


def test_every_model_has_a_file_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    files = manifest.files(["hf:a/b", "hf:a_b", "HF_A_B", "../x", "."])
    assert files["hf:a/b"] == "hf_a_b.safetensors"
    assert len({file.lower() for file in files.values()}) == 5
    assert all(Path(file).name == file and not file.startswith(".") for file in files.values())
    manifest.keep("hf:a_b", {"file": files["hf:a_b"], "state": "failed"})
    again = Manifest(tmp_path).files(["hf:a_b", "hf:a/b"])
    assert again["hf:a_b"] == files["hf:a_b"]
    assert again["hf:a/b"] == files["hf:a/b"]


def test_entries_that_another_call_writes_meanwhile_stay(tmp_path: Path) -> None:
    one, other = Manifest(tmp_path), Manifest(tmp_path)
    one.keep("a", {"file": "a.safetensors", "state": "failed"})
    other.keep("b", {"file": "b.safetensors", "state": "failed"})
    assert list(Manifest(tmp_path).models) == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version": 1}', '{"version": 1, "models": {"a": {"file": "../a", "state": "done"}}}', "{"],
)
def test_a_damaged_manifest_is_said_and_never_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json is no manifest of represent_all: .*; move it away"):
        Manifest(tmp_path)
    assert (tmp_path / "manifest.json").read_text() == text


def test_a_manifest_of_a_newer_version_is_said(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"version": 9, "models": {}}')
    with pytest.raises(ValueError, match="has version 9, this cka_plugin reads up to 1: upgrade"):
        Manifest(tmp_path)


def test_an_option_that_there_was_not_yet_had_its_default() -> None:
    asked = {"options": options_asked(Options()), "data": {"content": "a"}}
    earlier = {name: value for name, value in asked["options"].items() if name != "repeats"}
    before = {"state": "done", "options": earlier, "data": {"content": "a"}}
    assert why_again(before, before, asked) is None
    changed = {**asked, "options": options_asked(Options(repeats="drop"))}
    assert why_again(before, before, changed) == "options have changed: repeats 'warn', now 'drop'"
