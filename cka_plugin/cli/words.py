"""Messages of the calls in the words of the command: `--untrained`, where a call says `pretrained=False`."""

from __future__ import annotations

import re

from cka_plugin.options import NAMES
from cka_plugin.wording import for_terminal

_SPOKEN = (
    *NAMES,
    "data",
    "mapping",
    "restrict",
    "min_cka",
    "max_accuracy_drop",
    "max_class_drop",
    "max_churn",
    "junit",
)
_SPOKEN_FLAGS = ("keep_examples", "float16", "allow_nan")
_OPTION = re.compile(
    rf"(?<![\w.\-])(?P<name>{'|'.join((*_SPOKEN, *_SPOKEN_FLAGS))})=(?P<value>\"[^\"]*\"|'[^']*'|\.\.\.|[\w./\-]+)?"
)

_FUNCTION = re.compile(r"\b(transforms|forward)=(?:\{[^{}]*\}|function\b)")  # one is named in a terminal


def one_line(error: BaseException) -> str:
    """An error as one line; those that are not meant for people say what they are."""
    text = for_terminal(" ".join(str(error).split())) or type(error).__name__
    text = in_words_of_the_command(text)
    expected = isinstance(error, ValueError | TypeError | RuntimeError | OSError | ImportError)
    return text if expected else f"{type(error).__name__}: {text} (CKA_PLUGIN_DEBUG=1 shows where)"


def in_words_of_the_command(text: str) -> str:
    """A message of the calls with their options as one writes them here.

    Example:
        >>> in_words_of_the_command("use pretrained=False, checkpoint=FILE, granularity='module' or labels=")
        'use --untrained, --checkpoint FILE, --granularity module or --labels'
        >>> in_words_of_the_command("transforms={'net': function} that makes a tensor of one example")
        '--transforms python:MODULE:FUNCTION that makes a tensor of one example'
    """

    def written(found: re.Match[str]) -> str:
        name, value = found["name"], (found["value"] or "").strip("\"'")
        if name == "pretrained":
            return "--untrained" if value == "False" else "no --untrained"
        flag = f"--{name.replace('_', '-')}"
        return flag if value in ("", "True", "...") else f"{flag} {value}"

    said = _OPTION.sub(written, _FUNCTION.sub(r"--\1 python:MODULE:FUNCTION", text))
    return re.sub(r"(--[\w-]+) \(\1\)", r"\1", said)  # what said it both ways
