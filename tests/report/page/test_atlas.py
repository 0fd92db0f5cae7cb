"""The page on very many models: who is like whom, and no pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.report.plots.models import angles_of, classical_scaling
from tests.support.browser import browser, opened
from tests.support.many_models import many_models
from tests.support.pages import held


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    comparison = cka.Comparison(list(many_models(60)))
    return comparison.report(tmp_path_factory.mktemp("atlas") / "page.html")


def test_it_has_models_families_and_no_pairs(page: Path) -> None:
    text = page.read_text("utf-8")
    index: dict[str, Any] = held(text, "index")
    assert "pair-0-1" not in text
    assert index["paired"] is False
    assert len(index["similarity"]) == 60
    columns = {column["label"]: column["values"] for column in index["overview"]["columns"]}
    comparison = cka.Comparison(list(many_models(60)))
    row = columns["model"].index("model0007")
    assert columns["nearest"][row] == comparison.nearest("model0007", k=1).neighbours[0].name
    assert columns["family"][row] == "family7"
    runs = [a == b for a, b in zip(columns["family"], columns["family"][1:], strict=False)].count(False)
    assert runs == 7, "models stand in the order of their tree"
    assert [column["label"] for column in index["families"]["columns"]][:2] == ["family", "models"]
    places = np.column_stack([index["map"]["x"], index["map"]["y"]])
    order = [comparison.names.index(name) for name in index["names"]]
    angles = np.degrees(angles_of(comparison.models()))[np.ix_(order, order)]
    assert np.abs(places - classical_scaling(angles)[0]).max() < 1e-2
    assert "Models of one family are more alike than others by" in text


def test_with_details_every_pair_is_there_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cka_plugin.comparison.ATLAS_FROM", 2)
    few = cka.Comparison(list(many_models(3)))
    assert "pair-0-1" not in few.report(tmp_path / "atlas.html").read_text("utf-8")
    assert 'id="pair-0-1"' in few.report(tmp_path / "whole.html", details=True).read_text("utf-8")


def test_it_opens_and_loads_nothing(page: Path) -> None:
    with browser() as started, opened(started, page) as shown:
        assert shown.page.locator("section#pair table").count() == 2
        assert shown.page.locator("svg circle.spot").count() == 60
        assert shown.page.locator("svg .spot-name").count() > 0
        assert shown.page.locator(".heatmap").count() == 1
        assert not shown.said
        assert not shown.asked
