"""Tables: rows of named columns, from files, data frames and lists of mappings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cka_plugin.data.columns import IMAGE_KEYS, IMAGE_SUFFIXES, NAMED, TEXT_KEYS, is_beside, pick
from cka_plugin.data.content import Content, Member
from cka_plugin.data.fingerprints import fingerprints_of
from cka_plugin.data.folders import SKIPPABLE, open_image
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.items import of_items
from cka_plugin.data.kinds import RAW_KINDS, is_sound, kind_of, raw_value
from cka_plugin.data.labels import LABEL_KEYS, label_numbers
from cka_plugin.data.numbers import Ints
from cka_plugin.data.roles import examples_alone

Row = Mapping[str, Any] | OSError  # an error in the place of a row that cannot be read


@dataclass(frozen=True)
class Table:
    """Rows of named columns.

    Attributes:
        rows: mappings, or errors in the place of those that cannot be read.
        what: the file, for messages.
        base: the folder that paths of images start from.
        where: the number of a row to its place in the file, such as `line 7`.
    """

    rows: Sequence[Row]
    what: str
    base: Path | None = None
    where: Callable[[int], str] = lambda number: f"row {number + 1}"

    def broken(self, number: int, reason: str) -> OSError:
        """The error for a row; `on_error='skip'` leaves it out."""
        return OSError(f"{self.what}, {self.where(number)}: {reason}; give on_error='skip' to leave such examples out")


def of_frame(frame: Any) -> Indexed:
    """A data frame: its columns are those of a table; missing values are missing."""
    records = [{str(name): _cell(value) for name, value in row.items()} for row in frame.to_dict("records")]
    return of_table(Table(records, "the data frame"))


def _cell(value: Any) -> Any:
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def of_records(records: Sequence[Mapping[str, Any]], what: str, base: Path | None) -> Indexed:
    """A list of mappings as a table."""
    return of_table(Table(records, what, base))


def of_table(table: Table) -> Indexed:
    """Columns of text, of images (paths beside the file), of sounds, a label, an id; or numbers only.

    Raises:
        ValueError: no rows, no such columns, or several that could be meant.
        OSError: while reading, a row that lacks a text, an image, a number or its label.
    """
    rows = [row for row in table.rows if not isinstance(row, OSError)]
    if not rows:
        raise next(
            (row for row in table.rows if isinstance(row, OSError)), ValueError(f"{table.what} holds no examples")
        )
    columns = list(dict.fromkeys(name for row in rows for name in row))
    found = columns_by_kind(rows, columns, table.what)
    lists = [name for name in columns if isinstance(_first(rows, name), list) and name not in LABEL_KEYS]  # tokens
    numbers = [] if found or lists else _numeric(rows, columns, table.what)
    ids, labels, names, broken = _keys(table, columns)
    needed = [name for names_of in found.values() for name in names_of] or numbers or lists
    for number, row in enumerate(table.rows):
        lacking = [] if isinstance(row, OSError) else [name for name in needed if _is_missing(row.get(name))]
        if lacking:
            broken.setdefault(number, table.broken(number, f"{lacking[0]!r} is missing"))
    known = ["id", next((key for key in LABEL_KEYS if key in columns), "")]
    make = _stacked(table, numbers, broken) if numbers else _items(table, found)

    def read(positions: Ints, on_error: str) -> Read:
        kept: list[int] = []
        failed: list[int] = []
        made: list[Any] = []
        for place, position in enumerate(positions.tolist()):
            try:
                if position in broken:
                    raise broken[position]
                made.append(make(position))
                kept.append(position)
            except SKIPPABLE:
                if on_error == "raise":
                    raise
                failed.append(place)
        return _read(made, failed, found, known)

    return Indexed(ids, read, table.what, labels=labels, label_names=names, kinds=tuple(found))


def columns_by_kind(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], what: str) -> dict[str, list[str]]:
    """Kind of raw example -> the columns that hold it.

    Raises:
        ValueError: several columns could be meant.
    """
    by_kind: dict[str, list[str]] = {}
    for name in columns:
        value = next((row[name] for row in rows if not _is_missing(row.get(name))), None)
        kind = _kind(value)
        if isinstance(value, str) and _is_image_path(name, value):
            kind = "image"
        if kind is not None and (kind == "image" or not is_beside(name)):
            by_kind.setdefault(kind, []).append(name)
    texts = [name for name in by_kind.get("text", []) if name in TEXT_KEYS]
    if "image" in by_kind and not texts:
        by_kind.pop("text", None)
    return {kind: pick(kind, by_kind[kind], what) for kind in NAMED if by_kind.get(kind)}


def _is_image_path(name: str, value: str) -> bool:
    """Whether a column holds paths of images: it is called so, or it is called a file, and is one of an image."""
    if name not in IMAGE_KEYS:
        return False
    return name in IMAGE_KEYS[:3] or Path(value).suffix.lower() in IMAGE_SUFFIXES


def _first(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((row[name] for row in rows if not _is_missing(row.get(name))), None)


def _kind(value: Any) -> str | None:
    if is_sound(value):
        return "audio"
    raw = raw_value(value)
    kind = None if raw is None else kind_of([raw])
    return kind if kind in RAW_KINDS else None


def _numeric(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], what: str) -> list[str]:
    numbers = [name for name in columns if name not in LABEL_KEYS and name != "id"]
    if not numbers or not all(
        _is_missing(row.get(n)) or isinstance(row[n], int | float) for n in numbers for row in rows
    ):
        raise ValueError(
            f"{what} has columns {', '.join(columns)}: expected a text column ({', '.join(TEXT_KEYS[:3])}), an image "
            f"column ({', '.join(IMAGE_KEYS[:2])}, path), or numbers only"
        )
    return numbers


def _keys(table: Table, columns: Sequence[str]) -> tuple[list[Any], Ints | None, list[str] | None, dict[int, OSError]]:
    """Ids, labels and their names, and the rows that lack one."""
    broken = {number: row for number, row in enumerate(table.rows) if isinstance(row, OSError)}
    label_key = next((key for key in LABEL_KEYS if key in columns), None)
    ids: list[Any] = list(range(len(table.rows)))
    given: dict[int, Any] = {}
    for number, row in enumerate(table.rows):
        if isinstance(row, OSError):
            continue
        if "id" in columns:
            if _is_missing(row.get("id")):
                ids[number] = table.where(number)
                broken[number] = table.broken(number, "'id' is missing")
            else:
                ids[number] = row["id"]
        if label_key is not None:
            if _is_missing(row.get(label_key)):
                broken.setdefault(number, table.broken(number, f"{label_key!r}, the label, is missing"))
            else:
                given[number] = row[label_key]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{table.what}: the ids are not unique")
    if label_key is None or not given:
        return ids, None, None, broken
    try:
        numbers, names = label_numbers(list(given.values()))
    except ValueError as error:
        raise ValueError(f"{table.what}, column {label_key!r}: {error}") from error
    labels = np.full(len(table.rows), -1, dtype=np.int64)
    labels[list(given)] = numbers
    return ids, labels, names, broken


def _stacked(table: Table, numbers: Sequence[str], broken: Mapping[int, OSError]) -> Callable[[int], Any]:
    def make(position: int) -> Any:
        row = table.rows[position]
        assert not isinstance(row, OSError)
        return torch.tensor([float(row[name]) for name in numbers], dtype=torch.float32)

    return make


def _items(table: Table, found: Mapping[str, Sequence[str]]) -> Callable[[int], Any]:
    images = found.get("image", ())

    def make(position: int) -> Any:
        row = dict(table.rows[position])  # type: ignore[arg-type]
        made: dict[str, Any] = {}
        for name, value in row.items():
            made[name] = value
            if name in images and isinstance(value, str):
                made[name], made[f"{name} (bytes)"] = open_image((table.base or Path()) / value)
            elif name in found.get("text", ()) and isinstance(value, int | float):
                raise table.broken(position, f"{name!r} is {value!r}, not a text")
        return made

    return make


def _read(made: list[Any], failed: list[int], found: Mapping[str, Sequence[str]], known: Sequence[str]) -> Read:
    if not made:
        return Read(None, failed)
    marks = [key for key in made[0] if str(key).endswith(" (bytes)")] if isinstance(made[0], dict) else []
    prints = None
    if marks and list(found) == ["image"]:
        prints = np.array([row[marks[0]] for row in made], dtype=np.uint64)
    if isinstance(made[0], dict):
        used = [name for names in found.values() for name in names]
        others = [name for name in made[0] if name not in used and name not in marks]
        complete = [name for name in others if all(name in row for row in made)]
        made = [{name: row[name] for name in (*used, *complete)} for row in made]
    content = of_items(made).knowing(known)
    if prints is None and found:
        prints = fingerprints_of(_used(content, [name for names in found.values() for name in names]))
    return Read(content, failed, prints)


def _used(content: Content, names: Sequence[str]) -> Content:
    members: tuple[Member, ...] = tuple(m for m in content.members if m.key in names)
    return replace(examples_alone(content), members=members)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
