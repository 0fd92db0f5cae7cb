"""Results show themselves: a table and one picture each, escaped; seen in an executed notebook."""

from __future__ import annotations

import re

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import cka_plugin as cka
from tests.support import ROOT
from tests.support.nets import ConvNet, images

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def comparison() -> cka.Comparison:
    models = {EVIL: ConvNet(seed=1), "b": ConvNet(8, seed=2)}
    return cka.compare(models, data=images(96), labels=torch.arange(96) % 5, batch_size=12, progress=False)


def shown(result: object) -> str:
    html = result._repr_html_()  # type: ignore[attr-defined]
    assert "<script" not in html
    assert html.count("<img ") == 1
    assert html.count("<table>") <= 1
    assert len(html) < 60_000
    return html


def test_a_comparison_shows_the_heatmap_of_its_pair(comparison: cka.Comparison) -> None:
    html = shown(comparison)
    assert "&lt;script&gt;" in html
    assert "CKA of the layers of" in html
    assert html.count("<tr>") == 3
    several = cka.Comparison([comparison["b"].renamed(name) for name in "xyz"])
    assert "mean CKA at equal depth of every two models" in shown(several)


def test_a_representation_shows_cka_of_its_layers(comparison: cka.Comparison) -> None:
    html = shown(comparison["b"])
    assert "CKA of its layers with one another: from" in html
    assert ">examples</td>" in html


def test_a_large_representation_reads_its_first_minibatches_only(
    comparison: cka.Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cka_plugin.representation.shown._MOST", 5 * 66 * 3)
    assert "with one another, of the first 3 of 8 minibatches: from" in shown(comparison["b"])


def test_errors_show_differences_class_by_class(comparison: cka.Comparison) -> None:
    found = comparison.errors()
    html = shown(found)
    assert found.verdict.capitalize() in html
    assert "class by class" in html


def test_block_structure_says_its_verdict_and_shows_the_matrix(comparison: cka.Comparison) -> None:
    found = comparison.block_structure("b")
    html = shown(found)
    assert f"Block structure: {found.verdict}" in html
    planted = np.full((12, 12), 0.2)
    planted[4:10, 4:10] = 0.95
    np.fill_diagonal(planted, 1)
    html = shown(cka.find_block_structure(planted))
    assert "runs outlined" in html
    assert "4 .. 9" in html


def test_a_summary_shows_a_row_and_a_bar_a_model(comparison: cka.Comparison) -> None:
    html = shown(comparison.summary())
    assert html.count("<tr>") == 3
    assert "first component" in html


def test_a_check_shows_its_layers_against_their_thresholds() -> None:
    net, x = ConvNet(), images(64)
    made = cka.make_baseline(net, x, progress=False)
    result = cka.check(ConvNet(seed=5), made, x)
    html = shown(result)
    assert "FAILED" in html
    assert "Examples that moved most" in html
    assert "thresholds (black ticks)" in html


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_shows_results_bar_and_picture() -> None:
    """Executed by a kernel: HTML of results, PNG of plots, a progress bar."""
    first = """
import torch, cka_plugin as cka
from tests.support.nets import ConvNet, images
labels = torch.arange(96) % 5
cka.compare({"a": ConvNet(), "b": ConvNet(8)}, data=images(96), labels=labels, batch_size=12)"""
    cells = [
        first,
        "comparison = _\ncomparison.errors()",
        "display(comparison.block_structure('a'), comparison.summary(), comparison['a'])",
        "comparison.plot('heatmap')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    html = [[out.data["text/html"] for out in some if "text/html" in out.get("data", {})] for some in outputs]
    assert re.search(r"Comparison of a, b", html[0][-1])
    assert "Errors of a and b" in html[1][-1]
    assert [re.search(r"<strong>([A-Z]\w+)", one)[1] for one in html[2]] == ["Block", "Summary", "Representation"]
    assert any("image/png" in out.get("data", {}) for out in outputs[3])
    said = "".join(str(out.get("text", "")) + str(out.get("data", {}).get("text/plain", "")) for out in outputs[0])
    assert "2 models (a, b)" in said  # the bar
