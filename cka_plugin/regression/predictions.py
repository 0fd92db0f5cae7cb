"""The predictions of a model against those of its baseline, one function a rule: labels, classes, accuracy, churn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.result import ErrorComparison
from cka_plugin.regression.limits import MIN_CLASS_LOSS, Limits
from cka_plugin.regression.stored import Baseline
from cka_plugin.representation import Representation
from cka_plugin.wording import listed


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model and of its baseline on the same examples.

    Attributes:
        errors: baseline (a) and model (b); None without labels that are classes of the head.
        churn: share of examples whose prediction changed; None where there are no predictions to compare.
        ties: share of predictions that rounding alone may change: never less than one example, never less than was
            seen to flip when the baseline was made.
        failures: what is wrong, a sentence each.
    """

    errors: ErrorComparison | None
    churn: float | None
    ties: float
    failures: list[str]


def judge_predictions(baseline: Baseline, made: Representation, limits: Limits) -> Predictions:
    """Compare the predictions of a model with its baseline's, and hold them against the limits."""
    reference = baseline.representation
    failures = [*other_labels(reference, made), *other_classes(reference, made)]
    before, now = reference.logits, made.logits
    ties = max(1.0 / made.n_examples, 2.0 * baseline.churn)
    if before is None or now is None or before.shape[1] != now.shape[1]:
        return Predictions(None, None, ties, failures)
    if not (np.isfinite(before).all() and np.isfinite(now).all()):
        return Predictions(None, None, ties, failures)  # the head's row says so
    churn = float((before.argmax(1) != now.argmax(1)).mean())
    errors = _errors(reference, made)
    if errors is not None:
        failures += [*lost_accuracy(errors, limits, ties), *lost_classes(errors, limits, ties)]
    failures += changed_predictions(churn, limits, ties)
    return Predictions(errors, churn, ties, failures)


def other_labels(reference: Representation, made: Representation) -> Iterator[str]:
    """Labels that are not those of the baseline: its figures would mean something else."""
    if reference.labels is None or made.labels is None:
        return
    unlike = np.flatnonzero(reference.labels != made.labels)
    if len(unlike):
        first = unlike[0]
        yield (
            f"the labels of {len(unlike)} of {len(made.labels)} examples are not those of the baseline (example"
            f" {made.example_ids[first]!r}: {made.labels[first]}, was {reference.labels[first]}): another order of"
            " classes?"
        )


def other_classes(reference: Representation, made: Representation) -> Iterator[str]:
    """A head with other classes than the baseline's."""
    if reference.class_names and made.class_names and reference.class_names != made.class_names:
        yield (
            f"the head's classes are {listed(made.class_names, 6)}; in the baseline they are"
            f" {listed(reference.class_names, 6)}"
        )
    before, now = reference.logits, made.logits
    if before is not None and now is not None and before.shape[1] != now.shape[1]:
        yield f"the head has {now.shape[1]} classes, in the baseline {before.shape[1]}"


def lost_accuracy(errors: ErrorComparison, limits: Limits, ties: float) -> Iterator[str]:
    """Accuracy that fell by more than the limit, and by more than rounding alone can make it."""
    limit = limits.max_accuracy_drop
    if limit is not None and errors.difference > max(limit, ties) + 1e-12:
        yield (
            f"accuracy fell from {errors.accuracy_a:.1%} to {errors.accuracy_b:.1%}, by more than {limit:.1%} (exact"
            f" McNemar p = {errors.mcnemar_p:.2g})"
        )


def lost_classes(errors: ErrorComparison, limits: Limits, ties: float) -> Iterator[str]:
    """Single classes whose accuracy fell by more than the limit, and that lost more than one example."""
    if limits.max_class_drop is None:
        return
    least = max(MIN_CLASS_LOSS, ties * len(errors.examples.label))
    fell = [
        f"{row.name} ({row.accuracy_a:.1%} to {row.accuracy_b:.1%} of {row.n})"
        for row in errors.classes
        if row.difference > limits.max_class_drop + 1e-12 and round(row.difference * row.n) >= least
    ]
    if fell:
        yield f"classes whose accuracy fell by more than {limits.max_class_drop:.1%}: {listed(fell, 6)}"


def changed_predictions(churn: float, limits: Limits, ties: float) -> Iterator[str]:
    """More predictions that changed than the limit, and than rounding alone can change."""
    if limits.max_churn is not None and churn > max(limits.max_churn, ties) + 1e-12:
        yield f"{churn:.1%} of predictions changed, more than {limits.max_churn:.1%}"


def _errors(reference: Representation, made: Representation) -> ErrorComparison | None:
    """Baseline (a) and model (b) against the labels; None without labels that are classes of the head."""
    labels = reference.head_labels if reference.labels is not None else made.head_labels
    if labels is None or made.logits is None:
        return None
    classes = made.logits.shape[1]
    names = made.class_names or made.label_names
    return compare_errors(
        reference.logits,
        made.logits,
        labels,
        names if names and len(names) == classes else None,
        example_ids=made.example_ids,
        names=("baseline", made.name),
    )
