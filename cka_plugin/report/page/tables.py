"""Tables as the page has them: columns with their headings, and how their values are to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cka_plugin.tables import json_safe

# How a value is written: words as they are; whole numbers; three, four, two decimals; p values; percent, with a sign.
FORMATS = ("text", "whole", "number", "fine", "depth", "p", "percent", "signed", "flag")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        label: its heading.
        format: of `FORMATS`.
        values: one a row; None where there is none.
        help: what it means, where the heading does not say it.
    """

    label: str
    format: str
    values: list[Any]
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: what it is of.
        columns: of one length.
        order: (number of the column, descending) that the rows are in; None: as they are.
    """

    caption: str
    columns: list[Column]
    order: tuple[int, bool] | None = None


def table(
    caption: str, rows: Sequence[Any], columns: Sequence[tuple[str, ...]], names: tuple[str, str] = ("a", "b")
) -> Table:
    """The table of rows that are dataclasses.

    Args:
        caption: what it is of.
        rows: of one class.
        columns: (attribute, heading, format) of each, and what it means where that needs to be said.
        names: of the two models, for `{a}` and `{b}` in headings and meanings.

    Example:
        >>> table("points", [1 + 2j], [("real", "x", "number")]).columns[0].values
        [1.0]
    """
    made = []
    for attribute, label, form, *rest in columns:
        assert form in FORMATS, form
        values = [json_safe(getattr(row, attribute)) for row in rows]
        if form == "text":
            values = [None if value is None else str(value) for value in values]
        said = [words.replace("{a}", names[0]).replace("{b}", names[1]) for words in (label, *rest)]
        made.append(Column(said[0], form, values, *said[1:]))
    return Table(caption, made)
