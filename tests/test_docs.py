"""The pages of the site say what is so: their samples run, their commands exist, and every public name is there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import cka_plugin as cka
from cka_plugin.cli.app import FILES, app
from tests.support import ROOT

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
    if not {"made", "_build"} & set(path.relative_to(DOCS).parts)
}
RUN_ELSEWHERE = {"index.md"}  # the README's first sample, which tests/test_readme.py runs
SAMPLES = {
    name: samples
    for name, text in PAGES.items()
    if name not in RUN_ELSEWHERE and (samples := re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
}


@pytest.mark.parametrize("page", SAMPLES)
def test_the_samples_of_a_page_run_one_after_the_other(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "sample"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cka.CKAWarning)  # so few examples
        for number, sample in enumerate(SAMPLES[page], start=1):
            exec(compile(sample, f"{page}, sample {number}", "exec"), names)


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(text for name, text in PAGES.items() if name.startswith("reference/"))
    listed = set(re.findall(r"^\.\. auto(?:function|class):: (?:cka_plugin\.)?(\w+)$", reference, flags=re.MULTILINE))
    assert set(cka.__all__) - {"__version__"} <= listed


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_empty_and_each_has_a_title(page: str) -> None:
    assert PAGES[page].startswith("# ")
    assert len(PAGES[page].split()) > 20


def test_commands_on_the_pages_have_the_options_shown() -> None:
    helps = {name: CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output for name in FILES}
    shown = [
        (page, *found)
        for page, text in PAGES.items()
        for found in re.findall(r"cka-plugin ([a-z]+)( [^\n`]*)?", text)
        if found[0] in helps
    ]
    assert shown
    for page, name, arguments in shown:
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", arguments.partition("#")[0]):
            assert option in helps[name], f"{page}: cka-plugin {name} has no {option}"


def test_the_workflow_builds_strictly_and_publishes_from_main_alone() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/docs.yml").read_text(encoding="utf-8"))
    commands = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
    assert any("sphinx -W" in command for command in commands)
    assert "refs/heads/main" in workflow["jobs"]["publish"]["if"]
