"""Do models predict the same? Agreement, churn and kappa of predictions, for which nobody need know what is right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin import tables
from cka_plugin.analysis.errors.mapping import class_index, known_names
from cka_plugin.analysis.errors.predictions import Predictions, as_array, to_predictions
from cka_plugin.analysis.statistics.paired import Estimate

HOW = 'give mapping="names" to match classes by name, or mapping={model: {class of its head: class}}'


@dataclass(frozen=True, repr=False)
class Agreement(tables.Result):
    """How often two models predict the same class, right or wrong; made by `compare_predictions`.

    Attributes:
        names: of the two models.
        agreement: share of examples with the same prediction.
        churn: 1 - agreement: the share whose prediction changes from one model to the other.
        kappa: Cohen's kappa of the predictions: agreement beyond that of independent predictions with the same shares
            of classes. Of predictions, not of correctness, which needs labels.
        n_examples: on how many examples.
        reasons: {"kappa": why it is NaN}.
    """

    names: tuple[str, str]
    agreement: float
    churn: float
    kappa: float
    n_examples: int
    reasons: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        a, b = self.names
        why = f" ({self.reasons['kappa']})" if "kappa" in self.reasons else ""
        return (
            f"{a} and {b} predict the same class for {self.agreement:.1%} of {self.n_examples} examples (churn "
            f"{self.churn:.1%}); kappa of predictions {tables.short(self.kappa)}{why}"
        )


def compare_predictions(
    predictions_a: Any,
    predictions_b: Any,
    *,
    names: tuple[str, str] = ("a", "b"),
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
) -> Agreement:
    """Agreement of the predictions of two models on the same examples; labels are not needed.

    Args:
        predictions_a: (n,) class indices or (n, classes) scores, as in `compare_errors`.
        predictions_b: the same for the other model.
        names: what to call the models.
        head_classes: {model: class names of its head in order}, where they are known.
        mapping: where the heads have other classes: see `in_common`.

    Raises:
        TypeError, ValueError: as `in_common`; the same name twice.

    Source: Cohen 1960 for kappa.

    Example:
        >>> compare_predictions([0, 1, 1, 0], [0, 1, 0, 0], names=("old", "new"))
        old and new predict the same class for 75.0% of 4 examples (churn 25.0%); kappa of predictions 0.500
    """
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names {names!r}: expected two different names")
    given = [(str(names[0]), predictions_a), (str(names[1]), predictions_b)]
    a, b = in_common(given, head_classes=head_classes, mapping=mapping)
    kappa = prediction_kappa(a, b)
    agreement = float((a == b).mean())
    reasons = {"kappa": kappa.reason} if kappa.reason else {}
    return Agreement((given[0][0], given[1][0]), agreement, 1.0 - agreement, kappa.value, len(a), reasons)


def prediction_kappa(a: ArrayLike, b: ArrayLike) -> Estimate:
    """Cohen's kappa of two sets of predictions: (agreement - chance) / (1 - chance), chance = Σ of shares of a class.

    Args:
        a: (n,) integers.
        b: (n,) integers.

    Returns:
        kappa; NaN with its reason where both predict one and the same class throughout.

    Example:
        >>> prediction_kappa([0, 1, 2, 2], [0, 1, 2, 1]).value
        0.6363636363636364
    """
    first, second = np.asarray(a), np.asarray(b)
    n = len(first)
    _, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    size = int(codes.max()) + 1
    counts = [np.bincount(part, minlength=size) for part in (codes[:n], codes[n:])]
    chance = int(np.dot(counts[0], counts[1])) / n**2
    if chance == 1.0:
        return Estimate(math.nan, "both models predict one and the same class for every example")
    return Estimate((float((first == second).mean()) - chance) / (1.0 - chance))


def in_common(
    predictions: Sequence[tuple[str, Any]],
    *,
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
) -> list[NDArray[np.int64]]:
    """Predictions of several models as integers that are equal where the same class is meant.

    Args:
        predictions: (name, values) for each model; values as in `compare_errors`.
        head_classes: {model: class names of its head in order}, where they are known.
        mapping: `"names"`: classes of the same name are the same. {model: {class of its head: class}}: what the classes
            of a head mean, names of classes of the other heads or of any vocabulary; a class that means None, or is
            missing, is its head's own and agrees with no other head. Without, heads must have the same classes; where
            all have names, in whatever order.

    Raises:
        TypeError, ValueError: values that are no predictions, lengths that differ, heads of other classes.
    """
    names = [name for name, _ in predictions]
    heads = {name: known_names(head) for name, head in (head_classes or {}).items()}
    made = {name: _classes(values, name, heads.get(name)) for name, values in predictions}
    lengths = {name: len(found.classes) for name, found in made.items()}
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{name!r} of {length}" for name, length in lengths.items())
        raise ValueError(f"predictions {given} examples: expected the same examples in the same order")
    known = [heads.get(name) for name in names]
    if mapping is None:
        if all(head == known[0] for head in known) or None in known:
            _check_widths(made)
            return [found.classes for found in made.values()]
        named = [head for head in known if head is not None]
        if len({frozenset(head) for head in named}) > 1 or any(len(set(head)) < len(head) for head in named):
            other = next(name for name in names if heads[name] != known[0])
            raise ValueError(f"the heads of {names[0]!r} and {other!r} have other classes: {HOW}")
    elif mapping == "names":
        if None in known:
            raise ValueError(f"the head of {names[known.index(None)]!r} has no class names to match by")
    elif not isinstance(mapping, Mapping) or not set(mapping) <= set(names):
        raise ValueError(f"mapping {mapping!r}: the models are {', '.join(map(repr, names))}; {HOW}")
    tables_given = mapping if isinstance(mapping, Mapping) else {}
    numbers: dict[Any, int] = {}
    codes = []
    for name, found in made.items():
        meant = _meanings(name, heads.get(name), int(found.classes.max()) + 1, tables_given.get(name))
        own = np.array([numbers.setdefault(key, len(numbers)) for key in meant], dtype=np.int64)
        codes.append(own[found.classes])
    return codes


def _classes(values: Any, name: str, head: Sequence[str] | None) -> Predictions:
    found = to_predictions(values if isinstance(values, Predictions) else as_array(values), name)
    width = found.n_classes if found.n_classes is not None else int(found.classes.max()) + 1
    if head is not None and (width > len(head) or (found.n_classes is not None and width < len(head))):
        raise ValueError(f"{name!r} has predictions of {width} classes, but its head has {len(head)} class names")
    return found


def _check_widths(made: Mapping[str, Predictions]) -> None:
    widths = {name: found.n_classes for name, found in made.items() if found.n_classes is not None}
    if len(set(widths.values())) > 1:
        given = ", ".join(f"{name!r} has {width}" for name, width in widths.items())
        raise ValueError(f"heads with other classes: {given}: {HOW}")


def _meanings(
    name: str, head: Sequence[str] | None, predicted: int, table: Mapping[Any, Any] | Sequence[Any] | None
) -> list[Any]:
    """What each class of a head means: a name, an index where there are no names, or something of its own."""
    size = max(len(head) if head is not None else 0, predicted)
    if table is None:
        return [head[index] if head is not None else index for index in range(size)]
    if not isinstance(table, Mapping):
        table = dict(enumerate(table))
    targets = {class_index(source, head, f"the head of {name!r}"): target for source, target in table.items()}
    own = [(name, index) for index in range(max(size, 1 + max(targets, default=-1)))]
    return [key if (target := targets.get(key[1])) is None else target for key in own]
