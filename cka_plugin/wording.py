"""How numbers and names are written for people.

Names of models, layers, files, classes and examples are data: whoever made the file or the folder chose them. Each
place that shows them has characters that it takes for more than text, and here is what to write instead: a name with
an escape sequence, a line break or markup in it reads as what it is, and does nothing.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Sequence


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; `-` where there is none.

    Example:
        >>> number(0.98765), number(float("nan"))
        ('0.988', '-')
    """
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """An interval for a table; `-` where there are too few minibatches for one.

    Example:
        >>> interval(0.91, 0.98765), interval(float("nan"), float("nan"))
        ('0.910 to 0.988', '-')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message: all of them, or the first and last with the number left out between; as `for_terminal`.

    Example:
        >>> listed([f"blocks.{i}" for i in range(40)], most=4)
        'blocks.0, blocks.1, ... (36 more), blocks.38, blocks.39'
    """
    half = most // 2
    first, last = (names, []) if len(names) <= most else (names[:half], names[-half:])
    left_out = [f"... ({len(names) - 2 * half} more)"] if last else []
    return ", ".join([*map(for_terminal, first), *left_out, *map(for_terminal, last)])


# What takes part of a text for more than text: terminals, logs of CI systems, Markdown, HTML, XML, matplotlib.

# Control characters (escape sequences begin with one), formatting ones (those that turn the direction of writing, and
# invisible ones), halves of surrogate pairs, and separators of lines and paragraphs.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # within Persian and Indic words, and within emoji
# GitHub takes `::error::` at the start of a line for a command, and `##[error]` anywhere; Azure `##vso[...]`
# (https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
_COMMAND = re.compile(r"(?<!\S)::|##(?=\[|vso\[)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~<>&$@-])")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0


def for_terminal(text: object, lines: bool = False) -> str:
    r"""A text that a terminal or the log of a CI system shows and does not obey.

    Args:
        text: a name, or anything that holds names.
        lines: leave its line breaks as they are, for a text of several lines of ours.

    Example:
        >>> print(for_terminal("a\x1b[31m\n::error::b"), for_terminal("модель 模型"))
        a\x1b[31m\n\x3a:error::b модель 模型
    """
    if lines:
        return "\n".join(for_terminal(line) for line in str(text).split("\n"))
    shown = _COMMAND.sub(lambda found: f"\\x{ord(found[0][0]):02x}{found[0][1:]}", str(text))
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(_visible(character) for character in shown)


def for_markdown(text: object) -> str:
    r"""A text within a sentence or a cell of Markdown, on one line.

    Example:
        >>> print(for_markdown("<b>|stages_0|"))
        \<b\>\|stages\_0\|
    """
    return _MARKDOWN.sub(r"\\\1", for_terminal(text))


def for_html(text: object) -> str:
    """A text within an element or a quoted attribute of a page.

    Example:
        >>> for_html("<script>")
        '&lt;script&gt;'
    """
    return html.escape(for_terminal(text))


def for_xml(text: object) -> str:
    r"""A text that XML 1.0 can hold; `<` and `&` are left to whoever writes the XML.

    Example:
        >>> print(for_xml("a\x1b<"))
        a\x1b<
    """
    return _NOT_XML.sub(lambda found: _escape(found[0]), str(text))


def for_plot(text: object) -> str:
    r"""A text of a matplotlib figure, which takes what stands between two dollars for a formula.

    Example:
        >>> print(for_plot("$x$"))
        \$x\$
    """
    return for_terminal(text).replace("$", r"\$")


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS
    return _escape(character) if hidden else character


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
