"""Files of tables: `.csv`, `.tsv`, `.jsonl` and `.parquet`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cka_plugin.data.columns import IMAGE_KEYS, TEXT_KEYS
from cka_plugin.data.indexed import Indexed
from cka_plugin.data.tables import Row, Table, of_table
from cka_plugin.data.texts import decoded, lines_of

WHOLE = re.compile(r"[+-]?(0|[1-9]\d*)")
NO_NUMBER = ("", "nan", "NaN", "NA", "N/A", "null", "None")  # in a column of numbers; among words these are words
_OTHER_SEPARATORS = (";", "\t", "|")


def read_jsonl(path: Path) -> Indexed:
    """A `.jsonl` file: one object a line."""
    return of_table(Table(*_json_rows(path), path.parent, _lines_with_content(path)))


def _json_rows(path: Path) -> tuple[list[Row], str]:
    rows: list[Row] = []
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            row = _broken(path, f"line {number}", f"not JSON: {error}")
        if not isinstance(row, dict | OSError):
            row = _broken(path, f"line {number}", f"a {type(row).__name__}, expected an object such as {{'text': ...}}")
        rows.append(row)
    return rows, str(path)


def _lines_with_content(path: Path) -> Any:
    numbers = [number for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    return lambda place: f"line {numbers[place]}"


def read_csv(path: Path) -> Indexed:
    """A `.csv` or `.tsv` file with a line of column names; separated by commas, else semicolons, tabs or bars.

    A column is of numbers where every cell is one; a word such as NA is a word elsewhere, and no value there.

    Raises:
        ValueError: it is empty, or has a column twice.
    """
    names, cells, where = read_cells(path)
    rows: list[Row] = [row if isinstance(row, OSError) else {} for row in cells]
    for place, name in enumerate(names):
        own = [row[place] for row in cells if not isinstance(row, OSError)]
        made = iter([cell or None for cell in own] if name in (*TEXT_KEYS, *IMAGE_KEYS) else numbers_or_words(own))
        for number, row in enumerate(cells):
            if not isinstance(row, OSError):
                rows[number] = {**rows[number], name: next(made)}  # type: ignore[dict-item]
    return of_table(Table(rows, str(path), path.parent, lambda number: where[number]))


def read_cells(path: Path) -> tuple[list[str], list[list[str] | OSError], list[str]]:
    """Names of the columns, cells of each row or why there are none, and where in the file each row is."""
    text = decoded(path)
    if not text.strip():
        raise ValueError(f"{path} is empty: expected a line of column names, and a row an example")
    header = text.lstrip("\r\n").split("\n", 1)[0]
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    if separator not in header:
        separator = next((other for other in _OTHER_SEPARATORS if other in header), separator)
    lines = [f"{line}\n" for line in text.replace("\r\n", "\n").split("\n")]  # a quoted cell may hold several
    reader = csv.reader(lines, delimiter=separator)
    names: list[str] = []
    cells: list[list[str] | OSError] = []
    where: list[str] = []
    start = 1
    try:
        for row in reader:
            line, start = start, reader.line_num + 1
            if not row or (len(row) == 1 and not row[0].strip() and len(names) != 1):
                continue
            if not names:
                names = [name.strip() for name in row]
                continue
            where.append(f"line {line}")
            if len(row) != len(names):
                cells.append(_broken(path, f"line {line}", f"{len(row)} fields, where the columns are {len(names)}"))
            else:
                cells.append(row)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has the column {twice[0]!r} twice")
    return names, cells, where


def numbers_or_words(cells: Sequence[str]) -> list[Any]:
    """A column's cells as whole numbers, as numbers, or as the words they are; empty among numbers is None."""
    given = [cell for cell in cells if cell.strip() not in NO_NUMBER]
    for kind, fits in ((int, lambda cell: WHOLE.fullmatch(cell.strip())), (float, _is_float)):
        if given and all(fits(cell) for cell in given):
            return [None if cell.strip() in NO_NUMBER else kind(cell) for cell in cells]
    return [cell if cell else None for cell in cells]


def _is_float(cell: str) -> bool:
    if re.fullmatch(r"[+-]?0\d+", cell.strip()):  # 007 is a word
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_parquet(path: Path) -> Indexed:
    """A `.parquet` file: its columns as they are.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: it cannot be read.
    """
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
        from pyarrow import ArrowException  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(f"{path}: reading .parquet files needs pyarrow: pip install pyarrow") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable .parquet file: {error}") from error
    return of_table(Table(rows, str(path), path.parent))


def _broken(path: Path, where: str, reason: str) -> OSError:
    return OSError(f"{path}, {where}: {reason}; give on_error='skip' to leave such examples out")
