"""Do two groups of models, seeds of two architectures, make different mistakes?

Accuracies over seeds, Welch's test class by class, what differs between seeds of one group as the measure of it, single
examples by permuting the models, and the share of their differences that classes explain [2010.15327, section 5 and
appendix F].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.group_result import GroupClass, GroupComparison, HeldOutClass, SeedControl
from cka_plugin.analysis.errors.heads import align, class_index
from cka_plugin.analysis.errors.predictions import as_array
from cka_plugin.analysis.statistics.permutation import PermutationTest, gap_test
from cka_plugin.analysis.statistics.tests import (
    WELCH_UNDEFINED,
    ClassShare,
    check_fraction,
    class_share,
    correct,
    welch,
)


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
    correction: str = "benjamini-hochberg",
    level: float = 0.95,
    alpha: float = 0.05,
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
        correction: of p over the classes: `benjamini-hochberg` (for screening), `holm` (for claims) or `none`.
            Classes whose test is undefined stay in the family.
        level: of the intervals.
        alpha: of every decision.
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
    check_fraction(level, "level")
    check_fraction(alpha, "alpha")
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
    )
    right = np.stack([model.classes == classified.labels for model in classified.models])
    right_a, right_b = right[: len(members[name_a])], right[len(members[name_a]) :]
    labels_of, n_classes = classified.labels, len(classified.class_names)

    def rows_of(codes: NDArray[np.int64], row_names: Sequence[str], family: str) -> list[GroupClass]:
        counts = np.bincount(codes[codes >= 0], minlength=len(row_names))
        a, b = _accuracies(right_a, codes, counts), _accuracies(right_b, codes, counts)
        return _rows(a, b, counts, row_names, family, level, alpha)

    super_rows: list[GroupClass] = []
    if super_classes is not None:
        super_names, super_of = _super_classes(super_classes, classified.class_names)
        super_rows = rows_of(super_of[labels_of], super_names, correction)
    counts = np.bincount(labels_of, minlength=n_classes)
    class_a, class_b = _accuracies(right_a, labels_of, counts), _accuracies(right_b, labels_of, counts)
    example_test = gap_test(right_a, right_b, permutations=permutations, seed=seed)
    centred = gap_test(right_a, right_b, centred=True, permutations=permutations, seed=seed)
    return GroupComparison(
        names=(name_a, name_b),
        class_names=classified.class_names,
        accuracies_a=right_a.mean(axis=1),
        accuracies_b=right_b.mean(axis=1),
        overall=rows_of(np.zeros_like(labels_of), ["all"], "none")[0],
        classes=rows_of(labels_of, classified.class_names, correction),
        super_classes=super_rows,
        held_out=_held_out(class_a, class_b, classified.class_names, correction, level, alpha, seed),
        example_accuracy_a=right_a.mean(axis=0),
        example_accuracy_b=right_b.mean(axis=0),
        class_accuracy_a=class_a,
        class_accuracy_b=class_b,
        control=_control(right_a, right_b, class_a, class_b, alpha, splits, seed),
        example_test=example_test,
        example_test_centred=centred,
        class_share=_gated(class_share(right_a, right_b, labels_of), example_test, centred, alpha),
        level=level,
        alpha=alpha,
        correction=correction,
    )


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
    correction: str,
    level: float,
    alpha: float,
) -> list[GroupClass]:
    result = welch(a, b, level)
    corrected = correct(result.p, correction)
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
            significant=bool(corrected[i] <= alpha),
            reason=("no example" if counts[i] == 0 else WELCH_UNDEFINED if np.isnan(result.p[i]) else ""),
        )
        for i, name in enumerate(names)
    ]


def _held_out(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    names: Sequence[str],
    correction: str,
    level: float,
    alpha: float,
    seed: int,
) -> list[HeldOutClass]:
    """Classes selected by a random half of the seeds of either group, and their difference on the other half."""
    half_a, half_b = len(a) // 2, len(b) // 2
    if min(half_a, half_b) < 2:
        return []
    generator = np.random.default_rng(seed)
    a, b = a[generator.permutation(len(a))], b[generator.permutation(len(b))]
    chosen = welch(a[:half_a], b[:half_b], level)
    rest = welch(a[half_a:], b[half_b:], level)
    return [
        HeldOutClass(
            name=names[i],
            selected_difference=float(chosen.difference[i]),
            difference=float(rest.difference[i]),
            low=float(rest.low[i]),
            high=float(rest.high[i]),
            p=float(rest.p[i]),
        )
        for i in np.flatnonzero(correct(chosen.p, correction) <= alpha).tolist()
    ]


def _control(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    class_a: NDArray[np.float64],
    class_b: NDArray[np.float64],
    alpha: float,
    splits: int,
    seed: int,
) -> SeedControl:
    half = min(len(right_a), len(right_b)) // 2
    # The mean square gap over all choices of seeds has a closed form: seeds are drawn without replacement.
    noise_a, noise_b = right_a.var(axis=0, ddof=1).mean(), right_b.var(axis=0, ddof=1).mean()
    gap = np.mean((right_a.mean(axis=0) - right_b.mean(axis=0)) ** 2)
    between = gap + noise_a * (1 / half - 1 / len(right_a)) + noise_b * (1 / half - 1 / len(right_b))
    rms = [float(np.sqrt(square)) for square in (between, 2 * noise_a / half, 2 * noise_b / half)]
    if half < 2:
        reason = f"{len(right_a)} and {len(right_b)} models: Welch's test between halves of a group needs 4 in each"
        return SeedControl(half, math.nan, math.nan, math.nan, rms[0], rms[1], rms[2], reason)
    generator = np.random.default_rng(seed)
    found = np.zeros(3)
    for _ in range(splits):
        a = class_a[generator.permutation(len(class_a))]
        b = class_b[generator.permutation(len(class_b))]
        pairs = ((a[:half], b[:half]), (a[:half], a[half : 2 * half]), (b[:half], b[half : 2 * half]))
        found += [np.sum(welch(x, y).p <= alpha) for x, y in pairs]
    found /= splits
    return SeedControl(half, float(found[0]), float(found[1]), float(found[2]), rms[0], rms[1], rms[2])


def _gated(share: ClassShare, test: PermutationTest, centred: PermutationTest, alpha: float) -> ClassShare:
    """v² only where there is an example-level difference to explain."""
    reason = share.reason
    if test.smallest_p > alpha:
        reason = (
            f"with so few models the permutation test of single examples cannot reach p <= {alpha:g} "
            f"(smallest possible: {test.smallest_p:.2g})"
        )
    elif test.p > alpha:
        reason = f"the groups do not differ on single examples beyond seed noise (permutation p = {test.p:.2g})"
    elif centred.p > alpha:
        reason = (
            "beyond overall accuracy, the groups do not differ on single examples more than seeds do "
            f"(permutation p = {centred.p:.2g})"
        )
    return replace(share, v_squared=math.nan, reason=reason) if reason else share
