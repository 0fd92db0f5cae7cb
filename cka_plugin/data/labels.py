"""Labels: class numbers of what was given as classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.data.numbers import Ints, Words

LABEL_KEYS = (
    "labels",
    "label",
    "targets",
    "target",
    "fine_label",
    "y",
    "label_ids",
    "label_id",
    "class",
    "cls",
    "class_id",
    "class_idx",
)
_NUMBER = re.compile(r"0|[1-9]\d*")  # a number written as a word: 007 stays a word


def label_numbers(labels: Any, ids: Sequence[Any] | None = None) -> tuple[Ints, list[str] | None]:
    """Labels as class numbers, and their names where they were given as names (sorted).

    Args:
        labels: (n,) whole numbers or words; (n, classes) one-hot rows; or a mapping from example ids to such.
        ids: of the examples.

    Raises:
        ValueError: labels of another length than the ids, an id without a label, a missing label (None, NaN), or labels
            that are no classes.

    Example:
        >>> label_numbers(["dog", "cat", "dog"])
        (array([1, 0, 1]), ['cat', 'dog'])
    """
    if isinstance(labels, Mapping):
        if ids is None:
            raise ValueError("labels by example id need data with ids: give them in the order of the examples")
        missing = [example for example in ids if example not in labels]
        if missing:
            one = next((f"; labels are given for {key!r}" for key in labels if key not in set(ids)), "")
            raise ValueError(f"no label for {len(missing)} of {len(ids)} examples, such as {missing[0]!r}{one}")
        labels = [labels[example] for example in ids]
    if not isinstance(labels, Tensor) and not hasattr(labels, "__len__"):
        raise ValueError(f"labels are a {type(labels).__name__}: expected one class an example, in the same order")
    if ids is not None and len(labels) != len(ids):
        raise ValueError(
            f"given {len(labels)} labels for {len(ids)} examples: expected one an example, in the same order"
        )
    found = classes_of(labels)
    return as_numbers(found)


def as_numbers(found: Ints | Words) -> tuple[Ints, list[str] | None]:
    """Numbers as they are, without names; words as their places among all words, sorted."""
    if found.dtype.kind != "U":
        return found.astype(np.int64), None
    words = sorted(set(found.tolist()))
    if all(_NUMBER.fullmatch(word) for word in words):
        return found.astype(np.int64), None
    place = {word: number for number, word in enumerate(words)}
    return np.array([place[word] for word in found.tolist()], dtype=np.int64), words


def class_names(names: Sequence[str]) -> list[str]:
    """Different names of classes in order: sorted as words, or by size where all are numbers.

    Example:
        >>> class_names(["10", "2", "0"]), class_names(["b", "10"])
        (['0', '2', '10'], ['10', 'b'])
    """
    unlike = set(names)
    return sorted(unlike, key=int if all(_NUMBER.fullmatch(name) for name in unlike) else None)


def classes_of(labels: Any) -> Ints | Words:
    """(n,) class numbers or words of what was given as labels.

    Raises:
        ValueError: a missing one, or what is no class; the message says where.
    """
    if isinstance(labels, Tensor):
        return _of_array(labels.detach().cpu().float().numpy() if _half(labels) else labels.detach().cpu().numpy())
    if isinstance(labels, np.ndarray) and labels.dtype.kind != "O":
        return _of_array(labels)
    values = [_scalar(value) for value in labels]
    missing = [place for place, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise _missing(missing, len(values))
    words = [value for value in values if isinstance(value, str)]
    if words and len(words) < len(values):
        number = next(value for value in values if not isinstance(value, str))
        raise ValueError(f"labels are words such as {words[0]!r} and numbers such as {number!r}: expected one of them")
    if words:
        return np.array(words, dtype=np.str_)
    try:
        return _of_array(np.asarray(values))
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError("labels are lists of other lengths: expected one class an example") from error


def _missing(places: Sequence[int], n: int) -> ValueError:
    return ValueError(
        f"the label is missing for {len(places)} of {n} examples, first for example {places[0]}: give every example "
        "one, or leave these examples out"
    )


def _half(labels: Tensor) -> bool:
    return labels.dtype in (torch.bfloat16, torch.float16)


def _scalar(value: Any) -> Any:
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        return value.item()
    return value.item() if isinstance(value, np.generic) else value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def _of_array(values: np.ndarray[Any, Any]) -> Ints | Words:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and is_one_hot(values):
        return values.argmax(axis=1).astype(np.int64)
    if values.ndim != 1:
        raise ValueError(
            f"labels have shape {values.shape}: expected one class an example (multi-label is not supported)"
        )
    if values.dtype.kind in "US":
        return values.astype(np.str_)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"labels of type {values.dtype}: expected whole numbers or words")
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            raise _missing(np.flatnonzero(np.isnan(values)).tolist(), len(values))
        if not np.array_equal(values, np.round(values)):
            raise ValueError(
                f"labels are not whole numbers (such as {values[values != np.round(values)][0]}): expected classes"
            )
    return values.astype(np.int64)


def is_one_hot(values: np.ndarray[Any, Any]) -> bool:
    """Whether (n, classes) rows are each 1 at one class and 0 at all others."""
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "biuf" or not len(values):
        return False
    return bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())
