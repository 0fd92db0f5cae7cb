"""Pages in a real browser: nothing is loaded, pointer and keys give the figures of the comparison, tables work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import cka_plugin as cka
from cka_plugin.comparison import Comparison
from tests.support.browser import Opened, axe, browser, chromium, opened
from tests.support.pages import net, small

EVIL = "<script>alert(1)</script>"
EVERYTHING = "for (const part of document.querySelectorAll('details')) part.open = true"


@dataclass(frozen=True)
class Pages:
    """Pages in files, and what they are of."""

    pair: Path
    zoo: Path
    check: Path
    comparison: Comparison


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    chromium()
    folder = tmp_path_factory.mktemp("pages")
    comparison = small()
    x = torch.randn(96, 8)
    baseline = cka.make_baseline(net(0), x, labels=torch.arange(96) % 3, granularity="module", progress=False)
    check = cka.check(net(1), baseline, x)
    return Pages(
        comparison.report(folder / "pair.html"),
        small((EVIL, "b", "c"), n=48).report(folder / "zoo.html"),
        check.report(folder / "check.html"),
        comparison,
    )


def cell(page: Opened, row: int, column: int, shape: tuple[int, int]) -> tuple[float, float]:
    """Where a cell of the first heatmap lies in the window; rows count from below."""
    canvas = page.page.locator(".heatmap canvas").first
    area, box = json.loads(canvas.get_attribute("data-area")), canvas.bounding_box()
    x = area["left"] + (column + 0.5) * area["width"] / shape[1]
    y = area["top"] + (shape[0] - row - 0.5) * area["height"] / shape[0]
    return box["x"] + x, box["y"] + y


def figures(comparison: Comparison, row: int, column: int) -> str:
    """What is to be said of a cell."""
    low, high = comparison.interval("a", "b")
    value = comparison.matrix("a", "b")[row, column]
    return f"CKA {value:.3f} [{low[row, column]:.3f} to {high[row, column]:.3f}]"


@pytest.mark.parametrize("which", ["pair", "zoo", "check"])
@pytest.mark.parametrize(("width", "theme"), [(1600, "light"), (375, "dark")])
def test_pages_open_without_an_error_a_request_or_scrolling_sideways(
    started: Any, pages: Pages, which: str, width: int, theme: str
) -> None:
    with opened(started, getattr(pages, which), width, theme) as page:
        page.page.evaluate(EVERYTHING)
        page.page.wait_for_timeout(200)
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.said == []
        assert page.asked == []


def test_a_page_that_tries_to_load_something_is_noticed(started: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<body data-ready><img src='http://example.invalid/x.png'>", encoding="utf-8")
    with opened(started, path) as page:
        assert page.asked == ["http://example.invalid/x.png"]


def test_the_pointer_and_the_keys_give_the_figures_of_the_comparison(started: Any, pages: Pages) -> None:
    shape = pages.comparison.matrix("a", "b").shape
    with opened(started, pages.pair) as page:
        page.page.mouse.move(*cell(page, 1, 2, shape))
        assert figures(pages.comparison, 1, 2) in page.text(".readout")
        frame = page.page.locator(".heatmap").first
        frame.focus()
        for key, row, column in (
            ("ArrowUp", 2, 2),
            ("ArrowRight", 2, 3),
            ("ArrowDown", 1, 3),
            ("Home", 1, 0),
            ("End", 1, 4),
        ):
            frame.press(key)
            said = page.text(".readout")
            assert figures(pages.comparison, row, column) in said
            assert page.page.locator("#announce").text_content() == said
        layer, shown = pages.comparison.layers("a")[1], pages.comparison["a"].shown_layers[1]
        assert said.startswith(f"a: {shown.name} ({layer.name}, depth {layer.depth:.2f}) × b: ")


@pytest.mark.parametrize("by", ["click", "Enter"])
def test_a_click_or_enter_shows_the_profile_of_the_layer(started: Any, pages: Pages, by: str) -> None:
    matrix = pages.comparison.matrix("a", "b")
    with opened(started, pages.pair) as page:
        x, y = cell(page, 3, 1, matrix.shape)
        page.page.mouse.move(x, y)
        if by == "click":
            page.page.mouse.click(x, y)
        else:
            page.page.locator(".heatmap").first.press("Enter")
        names = [[layer.name for layer in pages.comparison[name].shown_layers] for name in "ab"]
        assert page.text(".profiles h4") == f"Profiles of {names[0][3]} and {names[1][1]}"
        page.page.locator(".profiles details").first.evaluate("part => part.open = true")
        rows = page.page.locator(".profiles tbody tr")
        shown = [rows.nth(i).locator("td").nth(1).inner_text() for i in range(rows.count())]
        assert shown == [f"{value:.3f}" for value in matrix[3]]


def test_tables_are_sorted_and_searched(started: Any, pages: Pages) -> None:
    with opened(started, pages.pair) as page:
        page.page.evaluate(EVERYTHING)
        table = page.page.locator("[data-part=layers] .table").last
        matrix = pages.comparison.matrix("a", "b")
        head = table.locator("thead button", has_text="CKA")
        first = table.locator("tbody tr").first.locator("td").nth(3)
        head.click()
        assert first.inner_text() == f"{matrix.max():.3f}"
        assert table.locator("th[aria-sort=descending]").count() == 1
        head.click()
        assert first.inner_text() == f"{matrix.min():.3f}"
        layer = pages.comparison["a"].shown_layers[2].name
        table.locator("input").fill("nothing like it")
        assert table.locator("tbody tr").count() == 0
        table.locator("input").fill(layer)
        rows = table.locator("tbody tr")
        assert rows.count() >= matrix.shape[1]
        assert all(layer in rows.nth(i).inner_text() for i in range(rows.count()))


def test_the_table_of_all_models_opens_a_pair_and_names_do_nothing(started: Any, pages: Pages) -> None:
    with opened(started, pages.zoo) as page:
        assert page.text("#pair h2") == f"{EVIL} and b"
        frame = page.page.locator("#picture .heatmap")
        frame.focus()
        frame.press("ArrowRight")
        frame.press("Enter")
        page.page.wait_for_function("document.querySelector('#pair h2').textContent.endsWith('and c')")
        assert page.text("#pair h2") == f"{EVIL} and c"
        assert page.page.evaluate("document.querySelectorAll('script:not([type])').length") == 1
        assert page.said == []


def test_both_themes_follow_the_reader_and_the_button(started: Any, pages: Pages) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for theme in ("light", "dark"):
        with opened(started, pages.pair, theme=theme) as page:
            seen.append(page.page.evaluate(ground))
            page.page.locator("#theme").click()
            seen.append(page.page.evaluate(ground))
    assert seen[0] == seen[3] != seen[1] == seen[2]


def test_axe_finds_no_serious_fault(started: Any, pages: Pages, tmp_path: Path) -> None:
    script = axe(tmp_path)
    for which, theme in ((pages.pair, "light"), (pages.pair, "dark"), (pages.zoo, "light"), (pages.check, "dark")):
        with opened(started, which, theme=theme, bypass_csp=True) as page:  # which axe itself would run into
            page.page.evaluate(EVERYTHING)
            page.page.wait_for_timeout(200)
            page.page.evaluate(script)
            found = page.page.evaluate("axe.run()")
            assert "color-contrast" in {rule["id"] for rule in found["passes"]}
            faults = [
                (fault["id"], fault["nodes"][0]["html"][:200], fault["nodes"][0]["failureSummary"][:300])
                for fault in found["violations"]
                if fault["impact"] in ("serious", "critical")
            ]
            assert not faults, (which.name, theme, faults)


def test_it_prints_all_parts_on_paper_as_wide_as_it_is(started: Any, pages: Pages) -> None:
    with opened(started, pages.pair, 794, "dark") as page:
        page.page.emulate_media(media="print")
        page.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.page.locator("[data-part=errors] figure").count() == 1
        assert page.page.locator("details details[open]").count() == 0
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 794
        assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
