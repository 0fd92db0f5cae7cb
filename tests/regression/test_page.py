"""The page and the summary of a check: worst first, what moved, with the examples and the way to accept it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline
from cka_plugin.regression.chart import mermaid
from cka_plugin.regression.markdown import to_markdown
from cka_plugin.regression.result import CheckResult
from cka_plugin.regression.runs import CheckRun
from tests.support.checked import X, Y, perturbed
from tests.support.nets import ConvNet
from tests.support.pages import held

ACCEPT = "accept it with: <this>"


@pytest.fixture(scope="module")
def failed(net: ConvNet, baseline: Baseline) -> CheckResult:
    return cka.check(perturbed(net, "blocks.1.conv1"), baseline, X, labels=Y)


def test_the_page_says_what_moved_worst_first_and_how_it_is_accepted(failed: CheckResult, tmp_path: Path) -> None:
    text = failed.report(tmp_path / "page.html", accept=ACCEPT).read_text(encoding="utf-8")
    worst = failed.worst[0]
    assert f"the worst first: {worst.name} (CKA {worst.cka:.4f}" in text
    assert "accept it with: &lt;this&gt;" in text
    assert "FAILED" in text
    columns = {column["label"]: column["values"] for column in held(text, "check")["layers"]["table"]["columns"]}
    assert columns["layer"] == [row.name for row in failed.worst]
    assert columns["verdict"] == [row.verdict for row in failed.worst]
    assert columns["CKA"] == pytest.approx([row.cka for row in failed.worst])


def test_the_page_shows_the_examples_that_moved_unless_they_are_private(failed: CheckResult, tmp_path: Path) -> None:
    text = failed.report(tmp_path / "page.html").read_text(encoding="utf-8")
    moved = held(text, "check")["examples"]
    pictures = held(text, "pictures")
    assert len(moved["places"]) == len(failed.examples) > 0
    assert all(pictures[str(place)]["image"].startswith("data:image/") for place in moved["places"])
    assert held(failed.report(tmp_path / "p.html", examples=False).read_text(encoding="utf-8"), "pictures") == {}


def test_examples_that_a_baseline_keeps_are_shown_without_data(net: ConvNet, tmp_path: Path) -> None:
    kept = cka.make_baseline(net, X, keep_examples=True, measure_noise=False, progress=False)
    result = cka.check(perturbed(net, "stem"), kept)
    assert held(result.report(tmp_path / "page.html").read_text(encoding="utf-8"), "pictures")


def test_a_check_that_passed_says_so(net: ConvNet, baseline: Baseline, tmp_path: Path) -> None:
    text = cka.check(net, baseline, X).report(tmp_path / "page.html", accept=ACCEPT).read_text(encoding="utf-8")
    assert "No layer lies below its threshold; the lowest CKA is 1.0000." in text
    assert "accept it with" not in text


def test_the_summary_shows_at_most_twenty_lines_and_folds_the_rest(failed: CheckResult) -> None:
    lines = to_markdown([CheckRun("net", failed, accept=ACCEPT)]).split("\n")
    fold = next(place for place, line in enumerate(lines) if line.startswith("<details>"))
    end = lines.index("</details>")
    shown = lines[:fold] + lines[end + 1 :]
    assert len([line for line in shown if line]) <= 20
    assert any(failed.worst[0].name in line for line in shown)
    assert any("accept it with" in line for line in shown)
    assert sum(line.startswith("- layer ") for line in lines[fold:end]) == sum(not row.passed for row in failed.layers)


def test_the_chart_has_every_layer_and_no_markup_of_names(failed: CheckResult) -> None:
    chart = mermaid(failed.layers)
    assert chart[0] == "```mermaid"
    assert chart[-1] == "```"
    assert chart[5] == f"  line [{', '.join(f'{row.cka:.4f}' for row in failed.layers)}]"
    assert not set("`<>;") & set("".join(chart[2:-1]).replace("-->", ""))
    assert mermaid([]) == []
