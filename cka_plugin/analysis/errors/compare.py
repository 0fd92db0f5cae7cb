"""Do two models make different mistakes? Accuracy, agreement and kappa; class by class; example by example.

Two fixed models on the same labelled examples. What is found is about these two models on such examples: it says
nothing of their architectures, for which many seeds are needed (`cka_plugin.analysis.errors.groups`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.heads import align
from cka_plugin.analysis.errors.outside import outside_notes, warn_of
from cka_plugin.analysis.errors.predicted import Disagreement, Examples
from cka_plugin.analysis.errors.predictions import as_array
from cka_plugin.analysis.errors.result import ClassDifference, ErrorComparison
from cka_plugin.analysis.statistics.corrections import Decisions, correct
from cka_plugin.analysis.statistics.intervals import tango_interval
from cka_plugin.analysis.statistics.paired import error_consistency, mcnemar, smallest_mcnemar_p

__all__ = ["ClassDifference", "Disagreement", "ErrorComparison", "Examples", "compare_errors"]


def compare_errors(
    predictions_a: Any,
    predictions_b: Any,
    labels: Any,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    example_ids: Sequence[Any] | None = None,
    names: tuple[str, str] = ("a", "b"),
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
    restrict: bool = False,
    correction: str = "benjamini-hochberg",
    level: float = 0.95,
    alpha: float = 0.05,
) -> ErrorComparison:
    """Compare the mistakes of two models on the same labelled examples.

    All differences are a - b: positive where a is the more accurate.

    Args:
        predictions_a: (n,) integer class indices, or (n, classes) floating scores. Scores in [0, 1] whose rows all
            sum to 1 are taken for probabilities, others for logits; confidence is the probability of the predicted
            class (softmax of logits), and unknown (NaN) where only indices are given.
        predictions_b: the same for the other model.
        labels: (n,) integer class indices.
        class_names: names of the classes, in order, or a table of index to name (`config.id2label`); "0", "1", ...
            without.
        example_ids: (n,) what to call the examples; 0, 1, ... without.
        names: what to call the models.
        head_classes: {model name: its head's class names in order}, where known; heads that differ from `class_names`
            or from one another are an error unless `mapping` is given.
        mapping: `"names"`, or {model name: {class of its head: class of the labels, or None}}, by index or by name;
            several may mean the same class. What a model predicts is what its most probable class means; a class that
            means None, or is missing, counts as `other`, which is wrong.
        restrict: make the models of a mapping choose among the classes that it maps: the others are left out, and
            probabilities of several that mean the same class add up before the choice.
        correction: of p over the classes: `benjamini-hochberg` (for screening), `holm` (for claims) or `none`. Every
            class is in the family, also those without examples or without a discordant pair (p = 1).
        level: of the intervals.
        alpha: a class is significant where its corrected p is at most this.

    Raises:
        TypeError: predictions or labels that are not of the kinds above (float labels, regression, strings, booleans).
        ValueError: other shapes (multi-label, language models), lengths that differ, indices beyond the classes,
            scores that are not finite, heads that differ without a mapping, `restrict` without one, an unknown
            correction, a level or alpha outside (0, 1).

    Warns:
        CKAWarning: labels that no class of a mapped head means: the model can only be wrong on them.

    Source: McNemar 1947, exact; Tango 1998 for the intervals; Geirhos et al. 2020 for kappa.

    Example:
        >>> labels = [0] * 10 + [1] * 10
        >>> all_right, no_ones = labels, [0] * 20
        >>> errors = compare_errors(all_right, no_ones, labels, ["cat", "dog"], names=("new", "old"))
        >>> errors.difference, errors.mcnemar_p
        (0.5, 0.001953125)
        >>> [(row.name, row.difference, row.significant) for row in errors.classes]
        [('cat', 0.0, False), ('dog', 1.0, True)]
        >>> errors.disagreements[0].example_id, errors.churn
        (10, 0.5)
    """
    rules = Decisions(correction, level, alpha)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names {names!r}: expected two different names")
    name_a, name_b = str(names[0]), str(names[1])
    classified = align(
        [(name_a, predictions_a), (name_b, predictions_b)],
        labels,
        class_names,
        head_classes=head_classes,
        mapping=mapping,
        restrict=restrict,
    )
    notes = warn_of((name_a, name_b), classified)
    n = len(classified.labels)
    ids = list(range(n)) if example_ids is None else as_array(example_ids).tolist()
    if len(ids) != n:
        raise ValueError(f"{len(ids)} example_ids for {n} examples: expected one each, in the same order")
    a, b = classified.models
    outside = (classified.outside(0), classified.outside(1))
    names_of_all = classified.class_names + [classified.other] * (max(outside) > 0)
    predicted_a, predicted_b = (np.where(m.classes < 0, len(classified.class_names), m.classes) for m in (a, b))
    head_classes_outside = [classified.outside_classes(0), classified.outside_classes(1)] if max(outside) > 0 else []
    examples = Examples(
        ids, classified.labels, predicted_a, predicted_b, a.confidence, b.confidence, *head_classes_outside
    )
    right_a, right_b = examples.right_a, examples.right_b
    same = examples.same
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    both_wrong = ~right_a & ~right_b
    kappa = error_consistency(right_a, right_b)
    rows = _class_rows(examples, classified.class_names, rules)  # no label is `other`: it has no row
    empty = [row.name for row in rows if row.n == 0]
    unsure = [name for name, model in zip(names, classified.models, strict=True) if np.isnan(model.confidence).all()]
    reasons = {
        "agreement_when_wrong": "" if both_wrong.any() else "no example is wrong in both",
        "kappa": kappa.reason,
        "classes": f"no example of {len(empty)} class{'es' * (len(empty) > 1)}, such as {empty[0]!r}" if empty else "",
        "disagreements": f"no confidence: {' and '.join(unsure)} gave class indices, not scores" if unsure else "",
    }
    return ErrorComparison(
        names=(name_a, name_b),
        class_names=names_of_all,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        difference=(only_a - only_b) / n,
        interval=tango_interval(only_a, only_b, n, level),
        agreement=float(same.mean()),
        agreement_when_wrong=float(same[both_wrong].mean()) if both_wrong.any() else math.nan,
        kappa=kappa.value,
        mcnemar_p=mcnemar(only_a, only_b),
        classes=rows,
        examples=examples,
        level=level,
        alpha=alpha,
        correction=correction,
        reasons={name: reason for name, reason in reasons.items() if reason},
        outside=outside,
        notes=[*outside_notes((name_a, name_b), outside, classified.other), *notes],
    )


def _class_rows(examples: Examples, class_names: Sequence[str], rules: Decisions) -> list[ClassDifference]:
    right_a, right_b = examples.right_a, examples.right_b

    def count(which: NDArray[np.bool_]) -> list[int]:
        return np.bincount(examples.label[which], minlength=len(class_names)).tolist()

    n = count(np.ones_like(right_a))
    rights_a, rights_b = count(right_a), count(right_b)
    tables_of_counts = list(zip(count(right_a & ~right_b), count(right_b & ~right_a), n, strict=True))
    tested = {t: (mcnemar(t[0], t[1]), tango_interval(*t, level=rules.level)) for t in set(tables_of_counts)}
    p = np.array([tested[t][0] for t in tables_of_counts])
    corrected = correct(p, rules.correction)
    testable = _testable(p, np.array(n), rules)
    rows = []
    for index, (only_a, only_b, size) in enumerate(tables_of_counts):
        low, high = tested[only_a, only_b, size][1]
        rows.append(
            ClassDifference(
                name=class_names[index],
                n=size,
                accuracy_a=rights_a[index] / size if size else math.nan,
                accuracy_b=rights_b[index] / size if size else math.nan,
                difference=(only_a - only_b) / size if size else math.nan,
                low=low,
                high=high,
                p=float(p[index]),
                p_corrected=float(corrected[index]),
                significant=bool(corrected[index] <= rules.alpha),
                testable=bool(testable[index]),
            )
        )
    return rows


def _testable(p: NDArray[np.float64], n: NDArray[np.int64], rules: Decisions) -> NDArray[np.bool_]:
    """Whether each class would be significant with all its examples discordant in one direction, the others as are."""
    testable = np.zeros(len(p), dtype=bool)
    for own_p, size in {(float(x), int(y)) for x, y in zip(p, n, strict=True)}:
        alike = (p == own_p) & (n == size)  # classes with the same p and n share the answer
        changed = p.copy()
        at = int(np.argmax(alike))
        changed[at] = smallest_mcnemar_p(size)
        if changed[at] <= rules.alpha:
            testable[alike] = correct(changed, rules.correction)[at] <= rules.alpha
    return testable
