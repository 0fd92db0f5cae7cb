"""What a classifier predicted: class indices or class scores, checked, as classes and confidences.

Single-label classification only. Multi-label targets, regression outputs and language-model logits (n, tokens,
vocabulary) are refused with a word on what to give instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUPPORTED = "expected (n,) integer class indices, or (n, classes) floating scores (logits or probabilities)"
_SUMS_TO_ONE = 1e-2  # probabilities saved in half precision, or rounded to a few digits, miss 1 by up to this
_ROWS = 4096  # rows turned into probabilities at a time


@dataclass(frozen=True)
class Predictions:
    """The predictions of one model.

    Attributes:
        classes: (n,) int64, the class predicted for each example; where it lies outside a mapping, -1 minus the class
            of the head.
        confidence: (n,) float64, the probability the model gave it; NaN where only classes are known.
        n_classes: how many classes the scores had; None where only classes are known.
    """

    classes: NDArray[np.int64]
    confidence: NDArray[np.float64]
    n_classes: int | None = None


def as_array(values: Any) -> NDArray[Any]:
    """Arrays, lists and tensors (of any device; bfloat16 as float32) as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
    return np.asarray(values)


def to_labels(labels: Any) -> NDArray[np.int64]:
    """labels: (n,) integer class indices from 0, checked.

    Raises:
        TypeError: labels that are not integers.
        ValueError: another shape, no example, or a negative label.
    """
    values = as_array(labels)
    if values.ndim != 1:
        multi = " (multi-label targets are not supported)" if values.ndim == 2 else ""
        raise ValueError(f"labels of shape {values.shape}: expected (n,) class indices, one label an example{multi}")
    if values.size == 0:
        raise ValueError("labels of 0 examples: nothing to compare")
    if values.dtype.kind not in "iu":
        hint = "; float targets (regression) are not supported" if values.dtype.kind == "f" else ""
        raise TypeError(f"labels of type {values.dtype}: expected integer class indices{hint}")
    if values.min() < 0:
        where = np.flatnonzero(values < 0)
        raise ValueError(
            f"labels: {values[where[0]]} at example {where[0]} ({len(where)} negative in all): expected class indices "
            "from 0; leave examples without a label out of labels and predictions alike"
        )
    return values.astype(np.int64)


def to_predictions(
    values: Any, name: str = "predictions", *, onto: Sequence[int | None] | None = None, restrict: bool = False
) -> Predictions:
    """Check what a model predicted, and take classes and confidences from it.

    Scores are taken for probabilities where all lie in [0, 1] and every row sums to 1 (within 0.01); they are taken for
    logits otherwise, and confidence is their softmax. Of equal scores the first class is predicted. -inf is a score (a
    class ruled out); NaN and +inf are errors. Sigmoid outputs of independent classes cannot be told from logits: do not
    give them.

    Args:
        values: (n,) integer class indices or (n, classes) floating scores; an array, a list or a tensor.
            `Predictions` (whose confidences are then kept) will do too.
        name: the model's, for messages.
        onto: for each class of the model's head, the class of the labels it means, or None. What is predicted is what
            the most probable class of the head means, as with class indices; its confidence is the probability of all
            classes that mean the same.
        restrict: make the model choose among the classes of the labels: those that mean None are left out, the
            probabilities of the rest scaled to 1, several that mean the same class added up before the choice.

    Raises:
        TypeError: not class indices or scores (booleans, strings, 1-d floats).
        ValueError: another shape, not finite, or, restricted, an example without a probability or with a class index
            that `onto` does not map.

    Example:
        >>> to_predictions([[2.0, 0.0], [0.0, 1.0]]).classes.tolist()
        [0, 1]
        >>> to_predictions([[0.9, 0.1], [0.3, 0.7]]).confidence.tolist()
        [0.9, 0.7]
        >>> scores = [[0.5, 0.2, 0.3], [0.1, 0.5, 0.4]]  # of a head whose class 1 means none of the labels' classes
        >>> to_predictions(scores, onto=[0, None, 1]).classes.tolist()
        [0, -2]
        >>> to_predictions(scores, onto=[0, None, 1], restrict=True).classes.tolist()
        [0, 1]
    """
    if isinstance(values, Predictions):
        return replace(_from_classes(as_array(values.classes), name, onto, restrict), confidence=values.confidence)
    array = as_array(values)
    if array.ndim == 3:
        raise ValueError(
            f"predictions of {name!r} have shape {array.shape}: the outputs of language models (n, tokens, vocabulary) "
            f"are not supported; {SUPPORTED}"
        )
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"predictions of {name!r} have shape {array.shape}: {SUPPORTED}")
    take = _from_classes if array.ndim == 1 else _from_scores
    return take(array, name, onto, restrict)


def _from_classes(array: NDArray[Any], name: str, onto: Sequence[int | None] | None, restrict: bool) -> Predictions:
    if array.dtype.kind not in "iu":
        hint = {
            "f": "regression outputs, and the score of one class alone, are not supported; ",
            "b": "whether a prediction is right does not say what it was; ",
            "U": "turn class names into indices first; ",
            "O": "turn class names into indices first; ",
        }.get(array.dtype.kind, "")
        raise TypeError(f"predictions of {name!r} are (n,) of type {array.dtype}: {hint}{SUPPORTED}")
    if array.min() < 0:
        where = int(np.flatnonzero(array < 0)[0])
        raise ValueError(f"predictions of {name!r}: class {array[where]} at example {where}: expected indices from 0")
    classes = array.astype(np.int64)
    if onto is not None:
        table = _codes(onto)
        mapped = np.where(classes < len(table), table[np.minimum(classes, len(table) - 1)], -1 - classes)
        if restrict and (mapped < 0).any():
            where = int(np.flatnonzero(mapped < 0)[0])
            raise ValueError(
                f"predictions of {name!r}: class {classes[where]} at example {where} is not in its mapping, and class "
                "indices cannot be restricted to it: give (n, classes) scores, where the rest can be left out"
            )
        classes = mapped
    return Predictions(classes, np.full(len(classes), math.nan))


def _codes(onto: Sequence[int | None]) -> NDArray[np.int64]:
    """What each class of a head is in `Predictions.classes`."""
    return np.array([-1 - index if target is None else target for index, target in enumerate(onto)], dtype=np.int64)


def _from_scores(array: NDArray[Any], name: str, onto: Sequence[int | None] | None, restrict: bool) -> Predictions:
    if array.dtype.kind != "f":
        raise TypeError(
            f"predictions of {name!r} are (n, classes) of type {array.dtype}: this looks like one-hot or multi-label "
            f"output (multi-label is not supported; for one-hot rows give their argmax); {SUPPORTED}"
        )
    n, n_classes = array.shape
    if n_classes == 1:
        raise ValueError(
            f"predictions of {name!r} have shape {array.shape}, one score an example: regression is not supported; "
            "for two classes give a score of each"
        )
    bad = np.isnan(array) | (array == math.inf)
    bad_rows = bad.any(axis=1) | (array == -math.inf).all(axis=1)
    if bad_rows.any():
        where = int(np.flatnonzero(bad_rows)[0])
        raise ValueError(
            f"predictions of {name!r}: {int(bad_rows.sum())} of {n} examples have scores that are not finite, the "
            f"first is example {where}: expected numbers (or -inf for a class ruled out, but not for all)"
        )
    if onto is not None and len(onto) != n_classes:
        raise ValueError(f"the mapping of {name!r} is of {len(onto)} classes, its scores are of {n_classes}")
    probabilities_given = _are_probabilities(array)
    if n_classes > 1 and not probabilities_given and np.isin(array, (0.0, 1.0)).all():
        raise ValueError(
            f"predictions of {name!r} are zeros and ones whose rows do not sum to 1: multi-label output is not "
            f"supported; {SUPPORTED}"
        )
    codes = np.arange(n_classes) if onto is None else _codes(onto)
    kept = np.flatnonzero(codes >= 0) if restrict else np.arange(n_classes)
    classes, confidence = np.empty(n, dtype=np.int64), np.empty(n)
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        scores = array[rows, kept]
        impossible = (scores == 0 if probabilities_given else np.isneginf(scores)).all(axis=1)
        if impossible.any():
            where = start + int(np.flatnonzero(impossible)[0])
            raise ValueError(f"predictions of {name!r}: example {where} gives no probability to any mapped class")
        choose = _most_probable if restrict else _top_1
        classes[rows], confidence[rows] = choose(scores, codes[kept], probabilities_given)
    return Predictions(classes, confidence, n_classes if onto is None else None)


def _top_1(
    scores: NDArray[Any], codes: NDArray[np.int64], are_probabilities: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What the column with the largest score means, and the probability of all columns that mean the same.

    scores: (rows, columns); codes: (columns,) what each means.
    """
    part = scores.astype(np.float64) if are_probabilities else _softmax(scores.astype(np.float64))
    chosen = codes[scores.argmax(axis=1)]  # by the scores themselves: probabilities may round to the same number
    sums, distinct = _added_up(part, codes)
    place = np.argsort(distinct)[np.searchsorted(np.sort(distinct), chosen)]
    return chosen, np.take_along_axis(sums, place[:, None], axis=1)[:, 0]


def _most_probable(
    scores: NDArray[Any], codes: NDArray[np.int64], are_probabilities: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What is most probable where these columns are all there are, and its probability; shapes as for `_top_1`."""
    part = scores.astype(np.float64)
    part = part / part.sum(axis=1, keepdims=True) if are_probabilities else _softmax(part)
    sums, distinct = _added_up(part, codes)
    best = sums.argmax(axis=1) if len(distinct) < len(codes) else scores.argmax(axis=1)
    return distinct[best], np.take_along_axis(sums, best[:, None], axis=1)[:, 0]


def _added_up(part: NDArray[np.float64], codes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Columns with the same code added up, and the codes, both in the order in which the codes first come."""
    distinct, first, group = np.unique(codes, return_index=True, return_inverse=True)
    if len(distinct) == len(codes):
        return part, codes
    order = np.argsort(first[group], kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(first[group][order]) > 0])
    return np.add.reduceat(part[:, order], starts, axis=1), codes[order][starts]


def _are_probabilities(scores: NDArray[Any]) -> bool:
    if scores.min() < 0 or scores.max() > 1:
        return False
    return bool(np.all(np.abs(scores.sum(axis=1, dtype=np.float64) - 1) <= _SUMS_TO_ONE))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
