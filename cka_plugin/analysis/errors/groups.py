"""Do two groups of models, seeds of two architectures, make different mistakes?

Accuracies over seeds, Welch's test class by class, what differs between seeds of one group as the measure of it, single
examples by permuting the models, and the share of their differences that classes explain [2010.15327, section 5 and
appendix F].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.certainty import EQUIVALENT
from cka_plugin.analysis.errors.group_result import GroupClass, GroupComparison
from cka_plugin.analysis.errors.heads import align
from cka_plugin.analysis.errors.mapping import class_index
from cka_plugin.analysis.errors.outside import outside_notes, warn_of
from cka_plugin.analysis.errors.predictions import as_array
from cka_plugin.analysis.errors.seed_noise import gated, held_out, seed_control
from cka_plugin.analysis.statistics.class_share import class_share
from cka_plugin.analysis.statistics.corrections import Decisions, correct
from cka_plugin.analysis.statistics.intervals import check_fraction
from cka_plugin.analysis.statistics.model_groups import gap_test
from cka_plugin.analysis.statistics.welch import WELCH_UNDEFINED, welch


def compare_groups(
    group_a: Any,
    group_b: Any,
    labels: Any,
    class_names: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    super_classes: Mapping[Any, str | None] | Sequence[str | None] | None = None,
    names: tuple[str, str] = ("a", "b"),
    head_classes: Mapping[str, Sequence[Any] | Mapping[Any, Any] | None] | None = None,
    mapping: str | Mapping[str, Mapping[Any, Any] | Sequence[Any]] | None = None,
    restrict: bool = False,
    correction: str = "benjamini-hochberg",
    level: float = 0.95,
    alpha: float = 0.05,
    margin: float = EQUIVALENT,
    permutations: int = 9999,
    splits: int = 200,
    seed: int = 0,
) -> GroupComparison:
    """Compare the mistakes of two groups of models, such as seeds of two architectures, on the same labelled examples.

    All differences are a - b: positive where a is the more accurate. The unit is the model: claims are about the
    groups, as far as these seeds can tell.

    Args:
        group_a: one entry a model, at least two: (n,) integer class indices or (n, classes) scores each, as in
            `compare_errors`.
        group_b: the same for the other group; not necessarily as many.
        labels: (n,) integer class indices.
        class_names: names of the classes, in order, or a table of index to name; "0", "1", ... without.
        super_classes: from a class (index or name) to the name of its super-class, or None; a sequence gives one a
            class.
        names: what to call the groups.
        head_classes: {group: its heads' class names in order}, as in `compare_errors`.
        mapping: `"names"`, or {group: {class of its heads: class of the labels, or None}}, as in `compare_errors`.
        restrict: as in `compare_errors`.
        correction: of p over the classes: `benjamini-hochberg` (for screening), `holm` (for claims) or `none`.
            Classes whose test is undefined stay in the family.
        level: of the intervals.
        alpha: of every decision.
        margin: a difference of mean accuracies of so much or less counts as none: the groups are `equivalent` where
            Welch's interval lies within it. Seeds of small networks vary by more than the default of 0.01.
        permutations: relabellings of the models to look at, all of them where there are no more.
        splits: random halves of the seeds to average over in the control.
        seed: of permutations, splits and the held-out half.

    Raises:
        TypeError, ValueError: as in `compare_errors`; a group of fewer than two models; a super-class table of
            unknown classes.

    Source: 2010.15327, section 5 and appendix F.

    Example:
        >>> labels = np.repeat([0, 1], 50)
        >>> rng = np.random.default_rng(0)
        >>> def model(right): return np.where(rng.random(100) < np.take(right, labels), labels, 1 - labels)
        >>> a = [model([0.9, 0.5]) for _ in range(5)]
        >>> groups = compare_groups(a, [model([0.5, 0.9]) for _ in range(5)], labels)
        >>> [row.difference > 0.2 and row.significant for row in groups.classes], groups.example_test.p < 0.05
        ([True, False], True)
        >>> groups.v_squared > 0.9
        True
    """
    decisions = Decisions(correction, level, alpha)
    check_fraction(margin, "margin")
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names {names!r}: expected two different names")
    name_a, name_b = str(names[0]), str(names[1])
    members = {name_a: _members(group_a, name_a), name_b: _members(group_b, name_b)}

    def per_model(given: Any) -> Any:
        """What is given for a group, given for each of its models."""
        if not isinstance(given, Mapping):
            return given
        if unknown := [key for key in given if key not in members]:
            raise ValueError(f"{unknown[0]!r}: the groups are {name_a!r} and {name_b!r}")
        return {f"{name}[{i}]": given[name] for name in given for i in range(len(members[name]))}

    classified = align(
        [(f"{name}[{i}]", values) for name, group in members.items() for i, values in enumerate(group)],
        labels,
        class_names,
        head_classes=per_model(head_classes),
        mapping=per_model(mapping),
        restrict=restrict,
    )
    notes = warn_of([f"{name}[{i}]" for name, group in members.items() for i in range(len(group))], classified)
    outside = [float(np.mean([classified.outside(i) for i in group])) for group in _places(members)]
    right = np.stack([model.classes == classified.labels for model in classified.models])
    right_a, right_b = right[: len(members[name_a])], right[len(members[name_a]) :]
    labels_of, n_classes = classified.labels, len(classified.class_names)

    def rows_of(codes: NDArray[np.int64], row_names: Sequence[str], rules: Decisions) -> list[GroupClass]:
        counts = np.bincount(codes[codes >= 0], minlength=len(row_names))
        a, b = _accuracies(right_a, codes, counts), _accuracies(right_b, codes, counts)
        return _rows(a, b, counts, row_names, rules)

    super_rows: list[GroupClass] = []
    if super_classes is not None:
        super_names, super_of = _super_classes(super_classes, classified.class_names)
        super_rows = rows_of(super_of[labels_of], super_names, decisions)
    counts = np.bincount(labels_of, minlength=n_classes)
    class_a, class_b = _accuracies(right_a, labels_of, counts), _accuracies(right_b, labels_of, counts)
    example_test = gap_test(right_a, right_b, permutations=permutations, seed=seed)
    centred = gap_test(right_a, right_b, centred=True, permutations=permutations, seed=seed)
    return GroupComparison(
        names=(name_a, name_b),
        class_names=classified.class_names,
        accuracies_a=right_a.mean(axis=1),
        accuracies_b=right_b.mean(axis=1),
        overall=rows_of(np.zeros_like(labels_of), ["all"], replace(decisions, correction="none"))[0],
        classes=rows_of(labels_of, classified.class_names, decisions),
        super_classes=super_rows,
        held_out=held_out(class_a, class_b, classified.class_names, decisions, seed),
        example_accuracy_a=right_a.mean(axis=0),
        example_accuracy_b=right_b.mean(axis=0),
        class_accuracy_a=class_a,
        class_accuracy_b=class_b,
        control=seed_control((right_a, right_b), (class_a, class_b), alpha, splits, seed),
        example_test=example_test,
        example_test_centred=centred,
        class_share=gated(class_share(right_a, right_b, labels_of), example_test, centred, alpha),
        level=level,
        alpha=alpha,
        correction=correction,
        margin=margin,
        notes=[*outside_notes((name_a, name_b), outside, classified.other), *notes],
    )


def _places(members: Mapping[str, Sequence[Any]]) -> list[range]:
    """Positions of the models of each group among all of them."""
    ends = np.cumsum([0, *map(len, members.values())]).tolist()
    return [range(start, stop) for start, stop in itertools.pairwise(ends)]


def _members(group: Any, name: str) -> list[Any]:
    if hasattr(group, "dtype") and as_array(group).ndim == 2 and as_array(group).dtype.kind == "f":
        raise ValueError(
            f"group {name!r} is one floating array of shape {tuple(group.shape)}: expected a sequence with the "
            "predictions of each model, (n,) class indices or (n, classes) scores"
        )
    members = list(group)
    if len(members) < 2 or any(as_array(values).ndim == 0 for values in members):
        raise ValueError(
            f"group {name!r} has {len(members)} entries: expected the predictions of at least two models (for "
            "one model against one, use compare_errors)"
        )
    return members


def _super_classes(table: Any, class_names: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the super-classes, and for each class the position of its own, -1 where it has none."""
    if not isinstance(table, Mapping):
        if isinstance(table, str) or len(table) != len(class_names):
            raise ValueError(
                f"super_classes has {len(table)} entries: expected one for each of {len(class_names)} classes"
            )
        table = dict(enumerate(table))
    names = list(dict.fromkeys(str(value) for value in table.values() if value is not None))
    if not names:
        raise ValueError("super_classes names no super-class: expected {class: super-class}")
    of = np.full(len(class_names), -1, dtype=np.int64)
    for key, value in table.items():
        if value is not None:
            of[class_index(key, class_names, "class_names")] = names.index(str(value))
    return names, of


def _accuracies(right: NDArray[np.bool_], codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(models, classes) share of right examples of each class; NaN where a class has none."""
    hits = np.stack([np.bincount(codes[row & (codes >= 0)], minlength=len(counts)) for row in right])
    return np.where(counts > 0, hits / np.maximum(counts, 1), math.nan)


def _rows(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    counts: NDArray[np.int64],
    names: Sequence[str],
    rules: Decisions,
) -> list[GroupClass]:
    result = welch(a, b, rules.level)
    corrected = correct(result.p, rules.correction)
    return [
        GroupClass(
            name=name,
            n=int(counts[i]),
            accuracy_a=float(a[:, i].mean()),
            accuracy_b=float(b[:, i].mean()),
            difference=float(result.difference[i]),
            low=float(result.low[i]),
            high=float(result.high[i]),
            df=float(result.df[i]),
            p=float(result.p[i]),
            p_corrected=float(corrected[i]),
            significant=bool(corrected[i] <= rules.alpha),
            reason=("no example" if counts[i] == 0 else WELCH_UNDEFINED if np.isnan(result.p[i]) else ""),
        )
        for i, name in enumerate(names)
    ]
