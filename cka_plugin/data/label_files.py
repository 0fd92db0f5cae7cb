"""Labels in files of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.table_files import numbers_or_words, read_cells
from cka_plugin.data.texts import lines_of

# Columns that say whose label a row holds. What only numbers the rows (`index`, `idx`) is not among them.
_EXAMPLE_KEYS = (
    "id",
    "ids",
    "example_id",
    "sample_id",
    "image_id",
    "path",
    "file",
    "filename",
    "file_name",
    "image",
    "img",
)


def read_labels(labels: Any) -> Any:
    """Labels as given, or of a file: .txt (a line each), .npy, .csv or .tsv (`label` and perhaps `id`).

    A column `id`, `path`, `file`, `filename`, `image`, ... says which example a row is of; without one rows are in the
    order of the examples.

    Words in a file stay words: NA, None and null are names of classes like any other.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no labels.
    """
    if not isinstance(labels, str | os.PathLike):
        return labels
    path = Path(labels)
    if not path.is_file():
        raise FileNotFoundError(f"no such file of labels: {path}")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if suffix == ".txt":
        return numbers_or_words([line.strip() for line in lines_of(path)])
    if suffix in (".csv", ".tsv"):
        return _of_table(path)
    raise ValueError(f"labels in {path}: expected a .txt, .csv, .tsv or .npy file")


def _of_table(path: Path) -> Any:
    names, cells, _ = read_cells(path)
    column = next((key for key in LABEL_KEYS if key in names), None)
    if column is None:
        raise ValueError(f"{path} has columns {', '.join(names)}: expected one called 'label'")
    rows: list[list[str]] = []
    for row in cells:
        if isinstance(row, OSError):
            raise ValueError(str(row).partition("; give on_error")[0])
        rows.append(row)
    found = numbers_or_words([row[names.index(column)] for row in rows])
    naming = next((key for key in _EXAMPLE_KEYS if key in names), None)
    if naming is None:
        return found
    by_example: dict[Any, Any] = {}
    for example, label in zip(numbers_or_words([row[names.index(naming)] for row in rows]), found, strict=True):
        if by_example.setdefault(example, label) != label:
            raise ValueError(f"{path} has two labels for {naming} {example!r}: {by_example[example]} and {label}")
    return by_example
