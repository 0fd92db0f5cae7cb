"""Names are data: written for a terminal, Markdown, a page, XML or a figure they do nothing there."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cka_plugin.warnings import CKAWarning, warn
from cka_plugin.wording import for_html, for_markdown, for_plot, for_terminal, for_xml, interval, listed, number


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("layer1.0", "layer1.0"),
        ("модель 模型 café", "модель 模型 café"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\x9b31m", r"a\x9b31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028break", r"line\u2028break"),
        ("half\ud800", r"half\ud800"),
        ("family 👨\u200d👩", "family 👨\u200d👩"),
        ("::error file=a::b", r"\x3a:error file=a::b"),
        ("  ::warning::b", r"  \x3a:warning::b"),
        ("a ##[error]b ##vso[task.complete]", r"a \x23#[error]b \x23#vso[task.complete]"),
        ("tests/test_net.py::test_it", "tests/test_net.py::test_it"),
    ],
)
def test_a_terminal_shows_a_name_and_does_not_obey_it(name: str, shown: str) -> None:
    assert for_terminal(name) == shown


@given(st.text())
def test_what_a_terminal_gets_is_one_printable_line(name: str) -> None:
    shown = for_terminal(name)
    assert len(shown.splitlines()) <= 1
    assert all(ord(character) >= 32 for character in shown)
    assert for_terminal(shown) == shown
    shown.encode("utf-8")


def test_the_line_breaks_of_our_own_texts_stay() -> None:
    assert for_terminal("one\n::error::two\x1b", lines=True) == "one\n\\x3a:error::two\\x1b"


@given(st.text())
def test_markdown_shows_a_name_as_it_is(name: str) -> None:
    shown = for_markdown(name)
    assert "\n" not in shown
    # Every character that Markdown takes for more than text stands behind a backslash.
    plain = shown.replace("\\\\", "")
    for special in "|*_`[]<>#":
        assert plain.count(special) == plain.count(f"\\{special}")


def test_html_and_xml_hold_any_name() -> None:
    assert for_html("<script>alert('x')</script>\x1b") == "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;\\x1b"
    element = ElementTree.Element("case", name=for_xml("a\x00b<c>&\ud800"))
    written = ElementTree.tostring(element, encoding="utf-8")
    assert ElementTree.fromstring(written).get("name") == "a\\x00b<c>&\\ud800"


def test_a_figure_takes_no_name_for_a_formula() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().set_title(for_plot("$\\frac$ and \x1b $"))
    figure.savefig(io.BytesIO(), format="png")


def test_numbers_and_names_of_messages() -> None:
    assert (number(None), number(float("inf")), number(0.5, 1)) == ("-", "-", "0.5")
    assert interval(float("nan"), 1.0) == "-"
    assert interval(0.5, 0.75, digits=4) == "0.5000 to 0.7500"
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a\x1b", "b", "c", "d"], most=2) == "a\\x1b, ... (2 more), d"


def test_warnings_show_names_and_do_not_obey_them() -> None:
    with pytest.warns(CKAWarning) as caught:
        warn("layer x\x1b[31m\n::error::y is constant")
    assert str(caught[0].message) == "layer x\\x1b[31m\n\\x3a:error::y is constant"
