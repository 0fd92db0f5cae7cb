"""The predictions of a model against those of its baseline, one function a rule: labels, classes, accuracy, churn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.compare import compare_errors
from cka_plugin.analysis.errors.result import ErrorComparison
from cka_plugin.analysis.statistics.power import examples_needed
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
        failures: what is wrong, a sentence each; predictions that were there and cannot be judged any more among them.
        inconclusive: what cannot be judged since the baseline's own predictions could not be, a sentence each.
        notes: what was never there to be judged, a sentence each.
    """

    errors: ErrorComparison | None
    churn: float | None
    ties: float
    failures: list[str]
    inconclusive: list[str]
    notes: list[str]


def judge_predictions(baseline: Baseline, made: Representation, limits: Limits) -> Predictions:
    """Compare the predictions of a model with its baseline's, and hold them against the limits."""
    reference = baseline.representation
    failures = [*other_labels(reference, made), *other_classes(reference, made)]
    ties = max(1.0 / made.n_examples, 2.0 * baseline.churn)
    inconclusive: list[str] = []
    if limits.on_predictions:
        failures += lost_predictions(reference, made)
        inconclusive += unfit_baseline(reference)
    before, now = reference.logits, made.logits
    if before is None or now is None or before.shape != now.shape or not (_finite(before) and _finite(now)):
        return Predictions(None, None, ties, failures, inconclusive, [*never_judged(reference, made, limits)])
    churn = float((before.argmax(1) != now.argmax(1)).mean())
    errors = _errors(reference, made)
    if errors is not None:
        failures += [*lost_accuracy(errors, limits, ties), *lost_classes(errors, limits, ties)]
    failures += changed_predictions(churn, limits, ties)
    return Predictions(errors, churn, ties, failures, inconclusive, [*never_judged(reference, made, limits)])


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


def lost_predictions(reference: Representation, made: Representation) -> Iterator[str]:
    """Predictions that the baseline has, and that the model does not give any more."""
    if reference.logits is None:
        return
    if made.logits is None:
        yield (
            f"{made.name} gives no predictions that could be judged, in the baseline it gives scores of"
            f" {reference.logits.shape[1]} classes"
        )
    elif _finite(reference.logits) and not _finite(made.logits):
        broken = int((~np.isfinite(made.logits)).any(axis=1).sum())
        yield (
            f"the scores of {broken} of {len(made.logits)} examples are not finite (NaN or infinity): predictions"
            " cannot be judged"
        )


def unfit_baseline(reference: Representation) -> Iterator[str]:
    """Scores of the baseline that nothing can be held against."""
    if reference.logits is not None and not _finite(reference.logits):
        broken = int((~np.isfinite(reference.logits)).any(axis=1).sum())
        yield (
            f"predictions cannot be judged: in the baseline the scores of {broken} of {len(reference.logits)} examples"
            " are not finite (NaN or infinity); a baseline of a sound model would settle it"
        )


def never_judged(reference: Representation, made: Representation, limits: Limits) -> Iterator[str]:
    """What the limits ask and neither the baseline nor the data have: it is not judged, and has not passed."""
    if not limits.on_predictions:
        return
    if reference.logits is None:
        yield "Predictions are not judged: the baseline has none."
    elif limits.on_accuracy and made.logits is not None:
        labelled = reference if reference.labels is not None else made
        if labelled.labels is None:
            yield "Accuracy is not judged: there are no labels."
        elif labelled.head_labels is None:
            names = labelled.label_names
            given = f"from {labelled.labels.min()} to {labelled.labels.max()}" if names is None else listed(names, 4)
            yield f"Accuracy is not judged: labels {given} are not classes of a head of {reference.logits.shape[1]}."


def lost_accuracy(errors: ErrorComparison, limits: Limits, ties: float) -> Iterator[str]:
    """Accuracy that fell by more than the limit, and by more than rounding alone can make it."""
    limit = limits.max_accuracy_drop
    if limit is not None and errors.difference > max(limit, ties) + 1e-12:
        yield (
            f"accuracy fell from {errors.accuracy_a:.1%} to {errors.accuracy_b:.1%}, by more than {limit:.1%} (exact"
            f" McNemar p = {errors.mcnemar_p:.2g}{_more_examples(errors)})"
        )


def _more_examples(errors: ErrorComparison) -> str:
    """How many examples would show the drop at hand to be one beyond these examples; empty where these do."""
    if errors.mcnemar_p <= errors.alpha:
        return ""
    right_a, right_b = errors.examples.right_a, errors.examples.right_b
    needed = examples_needed(errors.difference, float((right_a != right_b).mean()), alpha=errors.alpha)
    return "" if needed is None else f"; about {needed:,} examples show a drop of this size with a power of 80%"


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


def _finite(logits: NDArray[np.floating]) -> bool:
    return bool(np.isfinite(logits).all())
