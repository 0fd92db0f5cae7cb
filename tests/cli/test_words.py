"""Errors say in the command's words what to do."""

from __future__ import annotations

import pytest

from cka_plugin.cli.words import in_words_of_the_command


@pytest.mark.parametrize(
    ("call", "command"),
    [
        ("Use pretrained=False (--untrained) for", "Use --untrained for"),
        ('give checkpoint=FILE, or granularity="module"', "give --checkpoint FILE, or --granularity module"),
        ("give labels=, class sub-folders", "give --labels, class sub-folders"),
        ("pass on_error='skip' or max_memory=64MiB", "pass --on-error skip or --max-memory 64MiB"),
        ("make it with keep_examples=True", "make it with --keep-examples"),
        ("shuffle=True, my_labels=3, x.labels=4", "shuffle=True, my_labels=3, x.labels=4"),
    ],
)
def test_options_are_said_as_they_are_written_in_a_terminal(call: str, command: str) -> None:
    assert in_words_of_the_command(call) == command


def test_an_error_of_a_call_reaches_the_terminal_so(command) -> None:
    code, _, said = command("compare", "hf:bert", "--data", "sample:digits", "--max-examples", 32, "-q")
    assert code == 2
    assert "--untrained" in said
    assert "pretrained=" not in said


def test_version_and_short_help(command) -> None:
    code, out, _ = command("--version")
    assert (code, out.split()[0]) == (0, "cka-plugin")
    for arguments in (("-h",), ("compare", "-h"), ("errors", "-h")):
        code, out, _ = command(*arguments)
        assert code == 0
        assert "Usage: " in out
    assert "prob_CLASS" in " ".join(out.split())
