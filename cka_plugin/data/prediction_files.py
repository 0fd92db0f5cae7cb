"""Predictions of any origin from `.csv`, `.npz` and `.jsonl` files.

Columns (`.csv`), keys of each line (`.jsonl`) or arrays (`.npz`), by any of these names:

- what was predicted: `prediction` (`pred`, `predicted`, `predicted_label`, `y_pred`), a class index or name, with
  `confidence` beside it if there is one; or
- scores: `logits`, `scores`, `probabilities`, `probs` as an array (n, classes) or, in a line, as a list, as
  {class: score} or as [{"label": class, "score": score}, ...]; in a table one column a class, named `logit_CLASS`,
  `score_CLASS`, `prob_CLASS` or `p_CLASS`, or, where there is no `prediction`, all columns that are nothing else;
- optional: `label` (`labels`, `target`, `true_label`, `y_true`), a class index or name; `example_id` (`id`, `path`,
  `file`, `filename`, `image`); in `.npz` also `class_names`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIXES = (".csv", ".npz", ".jsonl")
_NAMES = {
    "prediction": ("prediction", "predictions", "pred", "preds", "predicted", "predicted_label", "y_pred"),
    "confidence": ("confidence", "confidences"),
    "scores": ("logits", "scores", "probabilities", "probs"),
    "label": ("label", "labels", "target", "targets", "true_label", "y_true"),
    "example_id": ("example_id", "example_ids", "id", "ids", "path", "file", "filename", "image"),
    "class_names": ("class_names", "classes"),
}
_SCORE_COLUMN = re.compile(r"(?:logit|logits|score|prob|probability|p)[_:](.+)", re.IGNORECASE)


@dataclass(frozen=True)
class PredictionFile:
    """What a file of predictions holds.

    Attributes:
        path: the file.
        predictions: (n,) class indices, (n,) class names, or (n, classes) scores; None in a file of labels alone.
        confidence: (n,) beside class indices or names, if there is any.
        labels: (n,) class indices or names, if there are any.
        example_ids: (n,) as text, if there are any.
        class_names: of the columns of the scores, in order, or of the class indices, if known.
    """

    path: str
    predictions: NDArray[Any] | None
    confidence: NDArray[np.float64] | None
    labels: NDArray[Any] | None
    example_ids: list[str] | None
    class_names: list[str] | None


def read_predictions(path: str | Path) -> PredictionFile:
    """Read predictions, and labels and example ids where there are any; the module's docstring has the names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another suffix, a file that cannot be read, or nothing in it that is a prediction or a label.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "vit.csv"
        >>> _ = path.write_text("path,label,prob_cat,prob_dog\\n1.png,dog,0.8,0.2\\n2.png,cat,0.9,0.1\\n")
        >>> file = read_predictions(path)
        >>> file.predictions.tolist(), file.labels.tolist(), file.class_names
        ([[0.8, 0.2], [0.9, 0.1]], ['dog', 'cat'], ['cat', 'dog'])
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a file of predictions, one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    reader = {".csv": _read_csv, ".npz": _read_npz, ".jsonl": _read_jsonl}[path.suffix.lower()]
    try:
        found = reader(path)
        file = _interpret(str(path), found)
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from error
    return file


def _read_csv(path: Path) -> dict[str, Any]:
    import pandas as pd

    columns = [str(column) for column in pd.read_csv(path, nrows=0).columns]
    kept = [column for column in columns if not re.fullmatch(r"|Unnamed: \d+", column)]
    roles = {column: role for column in kept for role, names in _NAMES.items() if column.strip().lower() in names}
    scores = [column for column in kept if column not in roles and _SCORE_COLUMN.fullmatch(column)]
    if not scores and "prediction" not in roles.values():
        scores = [column for column in kept if column not in roles]
    sure = [column for column, role in roles.items() if role == "confidence"]
    number: dict[str, Any] = dict.fromkeys([*scores, *sure], np.float64)
    frame = pd.read_csv(
        path,
        usecols=[*roles, *scores],
        dtype={**dict.fromkeys(roles, str), **number},
        keep_default_na=False,  # a class may be called "nan" or "None"
        na_values={column: ["", "nan", "NaN", "NA"] for column in number},
    )
    found: dict[str, Any] = {column: frame[column].to_numpy() for column in roles}
    if scores:
        found["scores"] = frame[scores].to_numpy()
        names = [match.group(1) if (match := _SCORE_COLUMN.fullmatch(column)) else column for column in scores]
        found["class_names"] = names
    return found


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_jsonl(path: Path) -> dict[str, Any]:
    lines = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise ValueError(f"line {number} is not JSON ({error})") from error
    if not lines or not all(isinstance(line, dict) for line in lines):
        raise ValueError("expected one JSON object a line")
    first = list(lines[0])
    for number, line in enumerate(lines, start=1):
        if missing := [key for key in first if key not in line]:
            raise ValueError(f"object {number} has no {missing[0]!r}, which the first has")
    found: dict[str, Any] = {key: [line[key] for line in lines] for key in first}
    for key in first:
        if key.strip().lower() in _NAMES["scores"]:
            found[key], names = _score_lines(found[key])
            if names is not None:
                found["class_names"] = names
    return found


def _score_lines(rows: list[Any]) -> tuple[NDArray[np.float64], list[str] | None]:
    """Scores of each line: lists, or tables by class (pipelines: lists of label and score), in one order."""
    if isinstance(rows[0], list) and rows[0] and isinstance(rows[0][0], dict):
        rows = [{entry["label"]: entry["score"] for entry in row} for row in rows]
    names = None
    if isinstance(rows[0], dict):
        names = sorted(str(name) for name in rows[0])
        for number, row in enumerate(rows, start=1):
            if sorted(map(str, row)) != names:
                raise ValueError(f"the scores of object {number} are of other classes than those of the first")
        by_text = [{str(name): score for name, score in row.items()} for row in rows]
        rows = [[row[name] for name in names] for row in by_text]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        raise ValueError(f"the lists of scores have {sorted(lengths)} entries: expected one a class in every line")
    return np.array(rows, dtype=np.float64), names


def _interpret(path: str, found: Mapping[str, Any]) -> PredictionFile:
    by_role: dict[str, tuple[str, Any]] = {}
    for column, values in found.items():
        for role, known in _NAMES.items():
            if column.strip().lower() in known:
                if role in by_role:
                    raise ValueError(f"{by_role[role][0]!r} and {column!r} both look like the {role}: keep one")
                by_role[role] = (column, values)
    columns = {role: values for role, (_, values) in by_role.items()}
    if not {"scores", "prediction", "label"} & set(columns):
        columns_found = ", ".join(map(repr, found)) or "nothing"
        raise ValueError(f"found {columns_found}: expected 'prediction', 'scores' or a score column for each class")
    names: list[str] | None = None
    if "class_names" in columns:
        names = [str(name) for name in columns["class_names"]]
    predictions = confidence = None
    if "scores" in columns:
        predictions = np.asarray(columns["scores"])
        if names is not None and sorted(names) == sorted(map(str, range(len(names)))):
            predictions, names = (
                predictions[:, np.argsort([int(name) for name in names])],
                None,
            )  # columns 0, 1, ... by index
    elif "prediction" in columns:
        predictions = index_or_name(columns["prediction"], "prediction")
        if "confidence" in columns:
            confidence = np.asarray(columns["confidence"], dtype=np.float64)
    labels = index_or_name(columns["label"], "label") if "label" in columns else None
    ids = [str(name) for name in np.asarray(columns["example_id"]).tolist()] if "example_id" in columns else None
    lengths = {len(part) for part in (predictions, labels, ids) if part is not None}
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} entries: expected one an example in each")
    if 0 in lengths:
        raise ValueError("it holds no example")
    if ids is not None and len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"example id {twice!r} occurs more than once")
    return PredictionFile(path, predictions, confidence, labels, ids, names)


def index_or_name(values: Any, what: str) -> NDArray[Any]:
    """A column of class indices as integers, one of class names as text."""
    if isinstance(values, list) and not all(isinstance(v, str) or type(v) is int for v in values):
        odd = next(v for v in values if not (isinstance(v, str) or type(v) is int))
        raise ValueError(f"{what} {odd!r}: expected class indices (integers) or names")
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        array = np.array([str(value) for value in array.tolist()])
        if (array == "").any():
            raise ValueError(f"{what} of example {int(np.argmax(array == ''))} is empty")
    return array
