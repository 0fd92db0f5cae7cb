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
        classes: (n,) int64, the class predicted for each example.
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


def to_predictions(values: Any, name: str = "predictions", *, onto: Sequence[int | None] | None = None) -> Predictions:
    """Check what a model predicted, and take classes and confidences from it.

    Scores are taken for probabilities where all lie in [0, 1] and every row sums to 1 (within 0.01); they are taken for
    logits otherwise, and confidence is their softmax. Of equal scores the first class is predicted. -inf is a score (a
    class ruled out); NaN and +inf are errors. Sigmoid outputs of independent classes cannot be told from logits: do not
    give them.

    Args:
        values: (n,) integer class indices or (n, classes) floating scores; an array, a list or a tensor.
            `Predictions` (whose confidences are then kept) will do too.
        name: the model's, for messages.
        onto: for each class of the model's head, the class of the labels it means, or None. The probability of the
            classes that mean None is left out and the rest scaled to 1; several that mean the same class add up.

    Raises:
        TypeError: not class indices or scores (booleans, strings, 1-d floats).
        ValueError: another shape, not finite, or a predicted class that `onto` does not map.

    Example:
        >>> to_predictions([[2.0, 0.0], [0.0, 1.0]]).classes.tolist()
        [0, 1]
        >>> to_predictions([[0.9, 0.1], [0.3, 0.7]]).confidence.tolist()
        [0.9, 0.7]
    """
    if isinstance(values, Predictions):
        return replace(_from_classes(as_array(values.classes), name, onto), confidence=values.confidence)
    array = as_array(values)
    if array.ndim == 3:
        raise ValueError(
            f"predictions of {name!r} have shape {array.shape}: the outputs of language models (n, tokens, vocabulary) "
            f"are not supported; {SUPPORTED}"
        )
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"predictions of {name!r} have shape {array.shape}: {SUPPORTED}")
    return _from_classes(array, name, onto) if array.ndim == 1 else _from_scores(array, name, onto)


def _from_classes(array: NDArray[Any], name: str, onto: Sequence[int | None] | None) -> Predictions:
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
        table = np.array([-1 if target is None else target for target in onto], dtype=np.int64)
        mapped = table[np.minimum(classes, len(table) - 1)]
        wrong = (classes >= len(table)) | (mapped < 0)
        if wrong.any():
            where = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"predictions of {name!r}: class {classes[where]} at example {where} is not in its mapping: map every "
                "class that occurs, or give (n, classes) scores, where the rest can be left out"
            )
        classes = mapped
    return Predictions(classes, np.full(len(classes), math.nan))


def _from_scores(array: NDArray[Any], name: str, onto: Sequence[int | None] | None) -> Predictions:
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
    classes, confidence = np.empty(n, dtype=np.int64), np.empty(n)
    for start in range(0, n, _ROWS):
        part = array[start : start + _ROWS].astype(np.float64)
        if onto is not None:
            part = _merge(part, onto, probabilities_given, name, start)
        elif not probabilities_given:
            part = _softmax(part)
        best = array[start : start + _ROWS].argmax(axis=1) if onto is None else part.argmax(axis=1)
        classes[start : start + _ROWS] = best
        confidence[start : start + _ROWS] = np.take_along_axis(part, best[:, None], axis=1)[:, 0]
    return Predictions(classes, confidence, n_classes if onto is None else None)


def _are_probabilities(scores: NDArray[Any]) -> bool:
    if scores.min() < 0 or scores.max() > 1:
        return False
    return bool(np.all(np.abs(scores.sum(axis=1, dtype=np.float64) - 1) <= _SUMS_TO_ONE))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _merge(
    scores: NDArray[np.float64], onto: Sequence[int | None], are_probabilities: bool, name: str, start: int
) -> NDArray[np.float64]:
    """Probabilities of the classes of the labels from scores of the classes of a head."""
    kept = [column for column, target in enumerate(onto) if target is not None]
    part = scores[:, kept]
    totals = part.sum(axis=1) if are_probabilities else part.max(axis=1)
    nothing = (totals == 0) if are_probabilities else np.isneginf(totals)
    if nothing.any():
        where = start + int(np.flatnonzero(nothing)[0])
        raise ValueError(f"predictions of {name!r}: example {where} gives no probability to any mapped class")
    part = part / totals[:, None] if are_probabilities else _softmax(part)
    merged = np.zeros((len(scores), 1 + max(target for target in onto if target is not None)))
    for column, source in enumerate(kept):
        merged[:, onto[source]] += part[:, column]
    return merged
