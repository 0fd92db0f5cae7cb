"""`--report`: the page of a comparison from the command, with the command that makes it again."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.pages import held

FEW = ("--data", "sample:digits", "--max-examples", 64, "--batch-size", 16)


def test_compare_writes_the_page_and_says_where_and_the_page_says_how_it_is_made_again(command, tmp_path: Path) -> None:
    page = tmp_path / "a page.html"
    code, out, _ = command("compare", "sample:narrow", "sample:vit", *FEW, "-q", "--report", page)
    assert code == 0
    assert f"Page: {page}" in out
    text = page.read_text(encoding="utf-8")
    assert "cka-plugin compare sample:narrow sample:vit --data sample:digits --max-examples 64" in text
    assert f"--report &#39;{page}&#39;" in text
    assert "cka.compare(&#39;sample:narrow&#39;, &#39;sample:vit&#39;, data=&#39;sample:digits&#39;" in text
    assert held(text, "pictures")


def test_show_names_examples_until_it_is_given_the_data(command, tmp_path: Path) -> None:
    file, page = tmp_path / "both.safetensors", tmp_path / "page.html"
    assert command("compare", "sample:narrow", "sample:vit", *FEW, "-q", "--save", file)[0] == 0
    code, out, _ = command("show", file, "--report", page, "--json")
    assert code == 0
    assert json.loads(out)["models"]
    assert held(page.read_text(encoding="utf-8"), "pictures") == {}
    assert command("show", file, "--report", page, "--data", "sample:digits")[0] == 0
    assert held(page.read_text(encoding="utf-8"), "pictures")
    assert command("show", file, "--report", page, "--data", "sample:digits", "--hide-examples")[0] == 0
    assert held(page.read_text(encoding="utf-8"), "pictures") == {}


def test_a_page_that_cannot_be_written_is_said_before_anything_runs(command, tmp_path: Path) -> None:
    code, _, said = command("compare", "sample:narrow", *FEW, "--report", tmp_path / "nowhere" / "page.html")
    assert code == 2
    assert "does not exist" in said
