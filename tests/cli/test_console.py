"""Tables in a terminal: names are text there."""

from __future__ import annotations

import pytest

from cka_plugin.cli.console import show_table
from cka_plugin.cli.messages import fail


def test_names_in_a_table_are_neither_markup_nor_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["x[/red]y"], [["[bold]a\x1b[31m\n::error::b"]], title="t[/]")
    shown = capsys.readouterr().out
    for text in ("x[/red]y", "t[/]", r"[bold]a\x1b[31m\n\x3a:error::b"):
        assert text in shown
    assert "\x1b" not in shown


def test_an_error_is_one_line_that_no_log_takes_for_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        fail("no model 'a\n::error::b\x1b[31m'")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: no model 'a\\n\\x3a:error::b\\x1b[31m'\n"
