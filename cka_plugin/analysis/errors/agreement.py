"""Many models at once: who errs like whom, and whether models that represent alike also err alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin import tables
from cka_plugin.analysis.errors.heads import align
from cka_plugin.analysis.errors.outside import warn_of
from cka_plugin.analysis.errors.predictions_alike import in_common
from cka_plugin.analysis.statistics.mantel import mantel
from cka_plugin.analysis.statistics.paired import error_consistency
from cka_plugin.analysis.statistics.permutation import PermutationTest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ErrorMatrices(tables.Result):
    """How alike the predictions and errors of many models are, pair by pair; made by `error_matrices`.

    Attributes:
        names: (models,) their names.
        accuracies: (models,) share of examples each gets right; NaN without labels.
        agreement: (models, models) share of examples with the same prediction; 1 on the diagonal.
        agreement_when_wrong: (models, models) the same among examples that both get wrong; NaN where there is none.
        kappa: (models, models) Cohen's kappa of correctness beyond chance; 1 on the diagonal, NaN where it is
            undefined.
        n_examples: on how many examples.
        reasons: {"accuracies", "agreement_when_wrong" or "kappa": why it has NaN}.
    """

    names: list[str]
    accuracies: NDArray[np.float64]
    agreement: NDArray[np.float64]
    agreement_when_wrong: NDArray[np.float64]
    kappa: NDArray[np.float64]
    n_examples: int
    reasons: dict[str, str]

    def to_frame(self) -> pd.DataFrame:
        """One row a pair of models: names, accuracies, their difference (a - b), agreement, kappa."""
        import pandas as pd

        first, second = np.triu_indices(len(self.names), 1)
        names = np.array(self.names, dtype=object)
        return pd.DataFrame(
            {
                "a": names[first],
                "b": names[second],
                "accuracy_a": self.accuracies[first],
                "accuracy_b": self.accuracies[second],
                "difference": self.accuracies[first] - self.accuracies[second],
                "agreement": self.agreement[first, second],
                "agreement_when_wrong": self.agreement_when_wrong[first, second],
                "kappa": self.kappa[first, second],
            }
        )

    def __repr__(self) -> str:
        pairs = np.triu_indices(len(self.names), 1)
        agreement, kappa = self.agreement[pairs], self.kappa[pairs]
        known = kappa[~np.isnan(kappa)]
        span = f"{known.min():.3f} to {known.max():.3f}" if known.size else "undefined"
        return (
            f"<ErrorMatrices of {len(self.names)} models on {self.n_examples} examples: "
            f"agreement {agreement.min():.3f} to {agreement.max():.3f}, kappa {span}>"
        )

    def __str__(self) -> str:
        def block(title: str, matrix: NDArray[np.float64]) -> str:
            rows = [[name, *row] for name, row in zip(self.names, matrix.tolist(), strict=True)]
            return tables.text_table(rows, [title, *self.names])

        accuracies = [[name, value] for name, value in zip(self.names, self.accuracies.tolist(), strict=True)]
        parts = [
            tables.text_table(accuracies, ["model", "accuracy"]),
            block("agreement", self.agreement),
            block("kappa of correctness", self.kappa),
            *(f"({name} has undefined pairs: {why})" for name, why in self.reasons.items() if name != "accuracies"),
        ]
        return "\n\n".join(parts)


def error_matrices(
    predictions: Mapping[str, Any],
    labels: Any = None,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
    restrict: bool = False,
) -> ErrorMatrices:
    """Agreement of predictions of every pair of models on the same examples; with labels, error consistency too.

    Args:
        predictions: {model: (n,) class indices or (n, classes) scores}, at least two models, as in `compare_errors`.
        labels: (n,) integer class indices; without, all but the agreement is NaN.
        class_names: names of the classes, in order, or a table of index to name.
        head_classes: {model: its head's class names in order}, as in `compare_errors`.
        mapping: `"names"`, or {model: {class of its head: class of the labels, or None}}, as in `compare_errors`;
            without labels as in `compare_predictions`.
        restrict: as in `compare_errors`.

    Raises:
        TypeError, ValueError: as in `compare_errors`; fewer than two models.

    Example:
        >>> matrices = error_matrices({"x": [0, 1, 1, 0], "y": [0, 1, 0, 0], "z": [1, 1, 1, 1]}, [0, 1, 1, 1])
        >>> matrices.agreement.tolist()
        [[1.0, 0.75, 0.5], [0.75, 1.0, 0.25], [0.5, 0.25, 1.0]]
        >>> round(float(matrices.kappa[0, 1]), 3)
        0.5
    """
    if not isinstance(predictions, Mapping) or len(predictions) < 2:
        raise ValueError("expected a mapping {model: predictions} of at least two models")
    names = [str(name) for name in predictions]
    given = list(zip(names, predictions.values(), strict=True))
    if labels is None:
        if restrict:
            raise ValueError("restrict=True restricts predictions to the classes of the labels: give labels")
        return _without_labels(names, in_common(given, head_classes=head_classes, mapping=mapping))
    classified = align(
        given,
        labels,
        class_names,
        head_classes=head_classes,
        mapping=mapping,
        restrict=restrict,
    )
    warn_of(names, classified)
    predicted = np.stack([model.classes for model in classified.models])
    right = predicted == classified.labels
    m = len(names)
    agreement, when_wrong, kappa = np.eye(m), np.eye(m), np.eye(m)
    reasons: dict[str, str] = {}
    for i in range(m):
        for j in range(i + 1, m):
            same = predicted[i] == predicted[j]
            both_wrong = ~(right[i] | right[j])
            consistency = error_consistency(right[i], right[j])
            pair = f"{names[i]} and {names[j]}"
            if not both_wrong.any():
                reasons.setdefault("agreement_when_wrong", f"no example is wrong in both {pair}")
            if consistency.reason:
                reasons.setdefault("kappa", f"{pair}: {consistency.reason}")
            agreement[i, j] = agreement[j, i] = same.mean()
            when_wrong[i, j] = when_wrong[j, i] = same[both_wrong].mean() if both_wrong.any() else math.nan
            kappa[i, j] = kappa[j, i] = consistency.value
    return ErrorMatrices(names, right.mean(axis=1), agreement, when_wrong, kappa, right.shape[1], reasons)


def _without_labels(names: list[str], predicted: Sequence[NDArray[np.int64]]) -> ErrorMatrices:
    agreement = np.array([[(a == b).mean() for b in predicted] for a in predicted])
    unknown = np.full((len(names), len(names)), math.nan)
    why = "without labels it is not known what is right"
    reasons = dict.fromkeys(("accuracies", "agreement_when_wrong", "kappa"), why)
    accuracies = np.full(len(names), math.nan)
    return ErrorMatrices(names, accuracies, agreement, unknown, unknown.copy(), len(predicted[0]), reasons)


@dataclass(frozen=True, repr=False)
class SimilarityAndErrors(tables.Result):
    """Over all pairs of models, does similarity of representations go with likeness of errors? Mantel tests.

    Attributes:
        agreement: correlation of similarity with agreement of predictions, and its p.
        kappa: correlation with kappa of correctness, which takes out what the accuracies alone explain, and its p.
    """

    agreement: PermutationTest
    kappa: PermutationTest

    def to_frame(self) -> pd.DataFrame:
        """One row a test, `agreement` and `kappa`."""
        frame = tables.to_frame([self.agreement, self.kappa], PermutationTest)
        frame.insert(0, "errors", ["agreement", "kappa"])
        return frame

    def __repr__(self) -> str:
        def words(name: str, test: PermutationTest) -> str:
            if test.reason:
                return f"similarity and {name}: undefined ({test.reason})"
            return (
                f"similarity and {name}: correlation {test.statistic:+.3f} over pairs, "
                f"Mantel p = {tables.short(test.p)} (smallest possible: {tables.short(test.smallest_p)})"
            )

        return "\n".join([words("agreement", self.agreement), words("kappa of correctness", self.kappa)])


def similarity_and_errors(
    similarity: ArrayLike,
    errors: ErrorMatrices,
    *,
    ranks: bool = False,
    permutations: int = 9999,
    seed: int = 0,
) -> SimilarityAndErrors:
    """Relate the similarity of models' representations to the likeness of their predictions and errors, by Mantel
    tests.

    Args:
        similarity: (models, models) symmetric, in the order of `errors.names`, such as mean CKA of layers at equal
            depth.
        errors: what `error_matrices` gives for the same models.
        ranks: correlate ranks instead of values.
        permutations: orders of the models to look at, all of them where there are no more.
        seed: of the permutations.

    Raises:
        ValueError: a matrix that is not square and symmetric, or of another number of models.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 10, 500)
        >>> def model(taste): return np.where(rng.random(500) < 0.2 + 0.6 * (labels % 2 == taste), labels, 0)
        >>> errors = error_matrices({f"m{i}": model(i % 2) for i in range(6)}, labels)
        >>> alike = np.equal.outer(np.arange(6) % 2, np.arange(6) % 2).astype(float)
        >>> related = similarity_and_errors(alike, errors)
        >>> related.kappa.statistic > 0.9, related.kappa.p
        (True, 0.1)
    """
    shape = np.shape(similarity)
    if shape != errors.agreement.shape:
        raise ValueError(f"similarity of shape {shape} for {len(errors.names)} models: expected one row a model")
    return SimilarityAndErrors(
        agreement=mantel(similarity, errors.agreement, ranks=ranks, permutations=permutations, seed=seed),
        kappa=mantel(similarity, errors.kappa, ranks=ranks, permutations=permutations, seed=seed),
    )
