"""A result in a notebook: escaped, bounded, a table and one picture."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from cka_plugin.notebook.card import MOST_ROWS, card
from cka_plugin.notebook.images import Bar, bars_image, matrix_image

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m"


class Tags(HTMLParser):
    """The tags of a page, and all attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_names_are_text_wherever_they_stand() -> None:
    picture = matrix_image(np.eye(2), EVIL)
    page = Tags(card(EVIL, [EVIL], [EVIL], [[EVIL]], picture))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert all(value.startswith("data:image/") for name, value in page.attributes if name == "src" and value)
    assert "\x1b" not in card(EVIL)


def test_tables_and_texts_are_bounded() -> None:
    html = card("t", ["x" * 5000], ["id"], [["y" * 5000]] * 1000)
    assert html.count("<tr>") == MOST_ROWS + 1
    assert "... and 990 more" in html
    assert len(html) < 5000


def test_numbers_stand_to_the_right_and_read_as_in_other_tables() -> None:
    html = card("t", header=["layer", "CKA"], rows=[["a", 0.98765], ["b", float("nan")]])
    assert '<td style="text-align:right;padding:0 .5em">0.988</td>' in html
    assert '<td style="text-align:right;padding:0 .5em">-</td>' in html
    assert '<td style="text-align:left;padding:0 .5em">a</td>' in html


def test_bars_hold_names_as_text() -> None:
    import base64
    from xml.etree import ElementTree

    shown = bars_image([Bar(EVIL, 0.5, 0.4, 0.6, 0.9, True)], "told", points=True)
    assert shown is not None
    svg = base64.b64decode(shown.source.partition(",")[2]).decode()
    root = ElementTree.fromstring(svg)
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds == {"svg", "rect", "text", "line", "circle"}
