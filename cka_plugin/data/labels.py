"""Labels: class numbers of what was given as classes, from memory or a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cka_plugin.data.batches import Ints

LABEL_KEYS = ("labels", "label", "targets", "target", "fine_label", "y")


def label_numbers(labels: Any, ids: Sequence[Any] | None = None) -> tuple[Ints, list[str] | None]:
    """Labels as class numbers, and their names where they were given as names (sorted).

    Raises:
        ValueError: labels of another length than the ids, an id without a label, or labels that are no classes.

    Example:
        >>> label_numbers(["dog", "cat", "dog"])
        (array([1, 0, 1]), ['cat', 'dog'])
    """
    if isinstance(labels, Mapping):
        if ids is None:
            raise ValueError("labels by example id need data with ids: give them in the order of the examples")
        missing = [example for example in ids if example not in labels]
        if missing:
            raise ValueError(f"no label for {len(missing)} of {len(ids)} examples, such as {missing[0]!r}")
        labels = [labels[example] for example in ids]
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(
            f"labels have shape {values.shape}: expected one class an example (multi-label is not supported)"
        )
    if ids is not None and len(values) != len(ids):
        raise ValueError(
            f"given {len(values)} labels for {len(ids)} examples: expected one an example, in the same order"
        )
    if values.dtype.kind in "USO":
        names = sorted({str(value) for value in values})
        place = {name: number for number, name in enumerate(names)}
        return np.array([place[str(value)] for value in values], dtype=np.int64), names
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise ValueError(
            f"labels are not whole numbers (such as {values[values != np.round(values)][0]}): expected classes"
        )
    return values.astype(np.int64), None


def read_labels(labels: Any) -> Any:
    """Labels as given, or of a file: .txt (a line each), .npy, .csv (`label` and perhaps `id`)."""
    if not isinstance(labels, str | os.PathLike):
        return labels
    path = Path(labels)
    if not path.is_file():
        raise FileNotFoundError(f"no such file of labels: {path}")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").split("\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
        return (
            [int(line) for line in lines] if all(_is_int(line) for line in lines) else [line.strip() for line in lines]
        )
    if path.suffix == ".csv":
        import pandas as pd

        table = pd.read_csv(path)
        column = next((key for key in LABEL_KEYS if key in table.columns), None)
        if column is None:
            raise ValueError(f"{path} has columns {', '.join(map(str, table.columns))}: expected one called 'label'")
        if "id" in table.columns:
            return dict(zip(table["id"].tolist(), table[column].tolist(), strict=True))
        return table[column].tolist()
    raise ValueError(f"labels in {path}: expected a .txt, .csv or .npy file")


def _is_int(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()
