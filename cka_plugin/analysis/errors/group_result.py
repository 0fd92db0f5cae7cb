"""The outcome of comparing the mistakes of two groups of models: numbers, tables, words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin import tables
from cka_plugin.analysis.errors.certainty import EQUIVALENT, GroupCertainty, of_groups
from cka_plugin.analysis.statistics.class_share import ClassShare
from cka_plugin.analysis.statistics.permutation import PermutationTest

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_CLASSES = 10


@dataclass(frozen=True)
class GroupClass:
    """One class, or super-class, of a `GroupComparison`.

    Attributes:
        name: of the class.
        n: its examples.
        accuracy_a: mean over the models of a of the share of them that is right (NaN where n is 0).
        accuracy_b: the same for b.
        difference: accuracy_a - accuracy_b.
        low: lower limit of Welch's interval of the difference.
        high: upper limit.
        df: Welch-Satterthwaite degrees of freedom.
        p: Welch's test across seeds.
        p_corrected: corrected over all classes.
        significant: whether p_corrected is at most alpha.
        reason: why p is NaN; empty where it is not.
    """

    name: str
    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    df: float
    p: float
    p_corrected: float
    significant: bool
    reason: str


@dataclass(frozen=True)
class HeldOutClass:
    """A class that half of the seeds select, and its difference on the other half, which had no part in that.

    Of classes picked for being significant the observed difference is too large on average; the held-out one is not. It
    stops being so once rows are picked again, by looking at all seeds.

    Attributes:
        name: of the class.
        selected_difference: accuracy_a - accuracy_b on the random half of either group that selects.
        difference: accuracy_a - accuracy_b on the other half.
        low: lower limit of Welch's interval of `difference`.
        high: upper limit.
        p: Welch's test on the other half.
    """

    name: str
    selected_difference: float
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class SeedControl:
    """What differs between the groups, and between seeds of one group, at equal numbers of seeds.

    Attributes:
        seeds: models on each side of every comparison here: half of the smaller group.
        classes_between: classes with p <= alpha, not corrected, mean over random choices of seeds of both groups.
        classes_within_a: the same between two halves of group a.
        classes_within_b: between two halves of group b.
        gap_between: root mean square over examples of the gap in accuracy, over all choices of seeds of both groups.
        gap_within_a: the same between two halves of group a.
        gap_within_b: between two halves of group b.
        reason: why the numbers of classes are NaN; empty where they are not.
    """

    seeds: int
    classes_between: float
    classes_within_a: float
    classes_within_b: float
    gap_between: float
    gap_within_a: float
    gap_within_b: float
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class GroupComparison(tables.Result):
    """How the mistakes of two groups of models differ; made by `compare_groups`.

    Differences are a - b throughout: positive where a is the more accurate.

    Attributes:
        names: of the two groups.
        class_names: of all classes, in the order of their indices.
        accuracies_a: (models of a,) accuracy of each.
        accuracies_b: (models of b,).
        overall: Welch's test of the overall accuracies, as a row like those of the classes.
        classes: one row a class, classes without examples too.
        super_classes: one row a super-class, tested and corrected among themselves.
        held_out: one row for each class that a random half of the seeds finds significant (corrected), re-estimated
            on the other half; empty where none is, or where a group has fewer than 4 models.
        example_accuracy_a: (n,) share of the models of a that get each example right.
        example_accuracy_b: (n,).
        class_accuracy_a: (models of a, classes); NaN for classes without examples.
        class_accuracy_b: (models of b, classes).
        control: the same differences between seeds of one group.
        example_test: do the groups differ on single examples beyond seed noise? By permuting the models.
        example_test_centred: the same with the difference in overall accuracy taken out.
        class_share: the share of the example-level difference that classes explain, v²; NaN, with its reason, unless
            both permutation tests reject at alpha.
        level: of the intervals.
        alpha: of every decision.
        correction: of the p values over classes.
        notes: what a reader should know, such as labels that no class of a head means.
        margin: a difference of mean accuracies of so much or less counts as none.
    """

    names: tuple[str, str]
    class_names: list[str]
    accuracies_a: NDArray[np.float64]
    accuracies_b: NDArray[np.float64]
    overall: GroupClass
    classes: list[GroupClass]
    super_classes: list[GroupClass]
    held_out: list[HeldOutClass]
    example_accuracy_a: NDArray[np.float64]
    example_accuracy_b: NDArray[np.float64]
    class_accuracy_a: NDArray[np.float64]
    class_accuracy_b: NDArray[np.float64]
    control: SeedControl
    example_test: PermutationTest
    example_test_centred: PermutationTest
    class_share: ClassShare
    level: float
    alpha: float
    correction: str
    notes: list[str] = field(default_factory=list)
    margin: float = EQUIVALENT

    @property
    def v_squared(self) -> float:
        """The share of the example-level difference that classes explain; NaN where `class_share.reason` says why."""
        return self.class_share.v_squared

    @cached_property
    def certainty(self) -> GroupCertainty:
        """Whether the mean accuracies are `different`, `equivalent` or that is `inconclusive`, and what settles it."""
        row = self.overall
        return of_groups((self.accuracies_a, self.accuracies_b), (row.low, row.high), row.p, self.alpha, self.margin)

    @property
    def verdict(self) -> str:
        """`different`, `equivalent` or `inconclusive`, of the mean accuracies: see `certainty`."""
        return self.certainty.verdict

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return super().to_dict() | {"verdict": self.verdict, "certainty": self.certainty.to_dict()}

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a class."""
        return self.classes, GroupClass

    def super_classes_to_frame(self) -> pd.DataFrame:
        """The table of super-classes, with the same columns."""
        return tables.to_frame(self.super_classes, GroupClass)

    def held_out_to_frame(self) -> pd.DataFrame:
        """The held-out classes as a table, columns named as the attributes of `HeldOutClass`."""
        return tables.to_frame(self.held_out, HeldOutClass)

    def __repr__(self) -> str:
        a, b = self.names
        row = self.overall
        different = sum(row.significant for row in self.classes)
        return (
            f"<GroupComparison of {len(self.accuracies_a)} {a} ({row.accuracy_a:.3f}) and {len(self.accuracies_b)} {b} "
            f"({row.accuracy_b:.3f}) on {row.n} examples: Welch p {tables.short(row.p)}, {self.verdict}, "
            f"{different} of {len(self.classes)} classes differ, v² {tables.short(self.v_squared)}>"
        )

    def __str__(self) -> str:
        a, b = self.names
        row, control, test = self.overall, self.control, self.example_test
        welch_text = (
            f"[{row.low:+.2%}, {row.high:+.2%} at {self.level:.0%}], Welch p = {tables.short(row.p)} "
            f"with {row.df:.1f} degrees of freedom"
            if not row.reason
            else f"({row.reason})"
        )
        share = self.class_share
        lines = [
            (
                f"{len(self.accuracies_a)} models of {a} are right on {row.accuracy_a:.2%} of {row.n} examples, "
                f"{len(self.accuracies_b)} of {b} on {row.accuracy_b:.2%}: a difference of "
                f"{row.difference:+.2%} {welch_text}"
            ),
            repr(self.certainty),
            (
                f"single examples: their accuracies differ by {control.gap_between:.3f} (root mean square) between "
                f"groups of {control.seeds}, by {control.gap_within_a:.3f} and {control.gap_within_b:.3f} between as "
                f"many seeds of {a} and of {b}; permutation p = {tables.short(test.p)} "
                f"(smallest possible: {tables.short(test.smallest_p)})"
            ),
            (
                f"classes explain v² = {share.v_squared:.2f} of it ({share.chance:.2f} by chance)"
                if not share.reason
                else f"v², the share of it that classes explain, is undefined: {share.reason}"
            ),
            (
                f"classes with p <= {self.alpha:g}, not corrected, at {control.seeds} seeds a side: "
                f"{control.classes_between:.1f} between the groups, {control.classes_within_a:.1f} within {a}, "
                f"{control.classes_within_b:.1f} within {b}, on average"
                if not control.reason
                else f"no control by halves of one group: {control.reason}"
            ),
            *(f"Note: {note}" for note in self.notes),
            "",
            self._class_lines("classes", self.classes),
        ]
        if self.super_classes:
            lines += ["", self._class_lines("super-classes", self.super_classes)]
        if self.held_out:
            first = sorted(self.held_out, key=lambda row: -abs(row.difference))[:_SHOWN_CLASSES]
            rows = [[row.name, row.selected_difference, row.difference, row.low, row.high] for row in first]
            title = f"{len(self.held_out)} classes that half of the seeds select, re-estimated on the others"
            header = ["class", "selecting half", "other half", "low", "high"]
            lines += ["", title, tables.text_table(rows, header)]
        return "\n".join(lines)

    def _class_lines(self, what: str, rows: Sequence[GroupClass]) -> str:
        different = sum(row.significant for row in rows)
        title = (
            f"{what} that differ (Welch, {self.correction}, corrected p <= {self.alpha:g}): {different} of {len(rows)}"
        )
        first = sorted(rows, key=lambda row: (math.isnan(row.p), row.p_corrected, row.p))[:_SHOWN_CLASSES]
        header = [what, "n", *self.names, "difference", "low", "high", "p", "p corrected", ""]
        cells = [
            [
                row.name,
                row.n,
                row.accuracy_a,
                row.accuracy_b,
                row.difference,
                row.low,
                row.high,
                row.p,
                row.p_corrected,
                "differs" if row.significant else "no variance" if row.reason and row.n else "",
            ]
            for row in first
        ]
        more = len(rows) - len(first)
        return "\n".join([title, tables.text_table(cells, header), *([f"... and {more} more"] if more else [])])
