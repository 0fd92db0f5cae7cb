"""Files of text: decoding, lines, and texts one a line."""

from __future__ import annotations

import codecs
from pathlib import Path

from cka_plugin.data.content import Content, Member
from cka_plugin.data.indexed import Indexed, held
from cka_plugin.warnings import warn

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decoded(path: Path) -> str:
    r"""The text of a file: UTF-8, or what its byte order mark says; the mark is no text.

    Raises:
        ValueError: it is in another encoding; the message names the file and the line.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not {encoding.upper()}: save the file as UTF-8 "
            f"(it may be Latin-1 or Windows-1252)"
        ) from error


def lines_of(path: Path) -> list[str]:
    r"""Its lines, which end in `\n` or `\r\n` and nowhere else: other separators are part of a text."""
    lines = [line.removesuffix("\r") for line in decoded(path).split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def read_txt(path: Path) -> Indexed:
    """A text a line; empty lines are no texts, and are counted in a warning.

    Raises:
        ValueError: it holds no text, or is in another encoding than UTF-8.
    """
    lines = lines_of(path)
    empty = [number for number, line in enumerate(lines, start=1) if not line.strip()]
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise ValueError(f"{path} holds no texts: expected one a line")
    if empty:
        shown = ", ".join(map(str, empty[:5])) + (" ..." if len(empty) > 5 else "")
        warn(f"{path}: {len(empty)} empty lines are no texts (line {shown})")
    return held(Content((Member(None, texts),), len(texts)), str(path))
