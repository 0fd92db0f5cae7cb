"""What the README shows runs, and prints what stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from cka_plugin.report.kinds.door import KINDS
from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SAMPLES = {text.strip().splitlines()[0]: text for text in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_every_sample_is_python(sample: str) -> None:
    ast.parse(sample)
    for line in sample.splitlines():
        assert len(line) <= 130, f"not to be read at a glance: {line}"


def test_the_call_prints_what_is_shown_and_answers_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call, rest, _ = SAMPLES.values()
    names: dict[str, Any] = {}
    exec(compile(call, "README.md", "exec"), names)
    (shown,) = re.findall(r"```text\n(.*?)```", README, flags=re.DOTALL)
    assert capsys.readouterr().out.split() == shown.split()
    exec(compile(rest, "README.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "both.safetensors"}


def test_kinds_of_pictures_are_counted_right() -> None:
    (count,) = re.findall(r"# (\d+) kinds of pictures", README)
    assert int(count) == len(KINDS) + 2  # CheckResult.plot and Probe.plot


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:cka_plugin|adapters|tests|examples)/[\w./-]*)`", text))
    assert named
    missing = [path for path in named if not (ROOT / path).exists() and "NAME" not in path]
    assert missing == []
