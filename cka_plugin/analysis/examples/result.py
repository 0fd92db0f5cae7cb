"""Examples that two models place differently: one row an example, one row a class, and what that foretells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cka_plugin.analysis.statistics.auc import Auc
from cka_plugin.core import Floats
from cka_plugin.tables import Result, short, text_table, to_frame
from cka_plugin.wording import for_terminal, listed

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 10
_SHOWN_CLASSES = 5


@dataclass(frozen=True)
class PlacedExample:
    """How alike two models place one example.

    Attributes:
        example_id: its id.
        alignment: pointwise kernel alignment, the mean over layers at equal depth; 1: alike, 0: nothing in common.
        lowest: the smallest over those layers.
        lowest_layer: the layer of `a` where that is.
        label: name of its class, or None without labels.
        prediction_a: class that `a` predicts, or None.
        prediction_b: class that `b` predicts, or None.
        correct_a: whether that is right; None without labels.
        correct_b: likewise.
        dominant: whether it is among the few that make first components of either model.
    """

    example_id: Any
    alignment: float
    lowest: float
    lowest_layer: str
    label: str | None = None
    prediction_a: str | None = None
    prediction_b: str | None = None
    correct_a: bool | None = None
    correct_b: bool | None = None
    dominant: bool = False


@dataclass(frozen=True)
class PlacedClass:
    """How alike two models place the examples of one class, beside how differently they err on it.

    Attributes:
        name: of the class.
        n: number of its examples.
        alignment: mean over its examples.
        difference: that mean minus the mean over all other examples; negative where the class moves more than others.
        p: two-sided Mann-Whitney test of the class against the rest.
        p_corrected: corrected over the classes.
        significant: whether `p_corrected` is at most alpha.
        accuracy_difference: accuracy of `a` minus that of `b` on the class; NaN where models do not classify.
        errors_p: exact McNemar test of that; NaN likewise.
        errors_p_corrected: corrected over the classes.
        errors_differ: whether that is at most alpha.
    """

    name: str
    n: int
    alignment: float
    difference: float
    p: float
    p_corrected: float
    significant: bool
    accuracy_difference: float
    errors_p: float
    errors_p_corrected: float
    errors_differ: bool


@dataclass(frozen=True, repr=False)
class ExampleComparison(Result):
    """Which examples two models place differently; made by `Comparison.examples`.

    Attributes:
        names: of the two models.
        examples: one row an example, the one placed most differently first.
        classes: one row a class, the one that moves most first; empty without labels.
        layers: (layer of a, layer of b) at equal depth, which the alignments are of.
        alignment: (n_examples, layers) pointwise alignment, in the order of the representation's `example_ids`.
        chance: the 95% quantile of an example's mean alignment where examples have nothing to do with one another.
        chance_spread: standard deviation of the same; about 1/sqrt(n) for one isotropic layer.
        disagreement: whether a low alignment foretells that the models predict different classes: area under the ROC
            curve of -alignment with its interval; None where they do not classify.
        batch_size: examples in a minibatch (the median), on which the spread depends.
        notes: what a reader should know.
    """

    names: tuple[str, str]
    examples: list[PlacedExample]
    classes: list[PlacedClass]
    layers: list[tuple[str, str]]
    alignment: Floats
    chance: float
    chance_spread: float
    disagreement: Auc | None
    batch_size: int
    notes: list[str] = field(default_factory=list)

    def table_rows(self) -> tuple[Sequence[Any], type]:
        return self.examples, PlacedExample

    def foretells(self) -> str:
        """One sentence: does disagreement in representation foretell disagreement in prediction?"""
        found = self.disagreement
        if found is None:
            return (
                "Whether the models predict the same is not known: one does not classify, or their heads have other "
                "classes."
            )
        if math.isnan(found.value):
            what = "all" if found.n_rest else "none"
            return f"Of {found.n_group + found.n_rest} examples they predict {what} alike: nothing to foretell."
        said = f"area under the ROC curve {found.value:.2f}"
        if math.isfinite(found.low):
            said += f" [{found.low:.2f}, {found.high:.2f}]"
        differ = f"{found.n_group} of {found.n_group + found.n_rest} examples are predicted differently"
        if math.isfinite(found.low) and found.low > 0.5:
            return f"{differ}, and those are placed more differently: {said}."
        if math.isfinite(found.low) and found.high < 0.5:
            return f"{differ}, and those are placed more alike than the rest: {said}."
        return f"{differ}; that how they are placed tells which is not shown: {said}."

    def classes_to_frame(self) -> pd.DataFrame:
        """One row a class, the one whose examples move most first, beside how differently the models err on it."""
        return to_frame(self.classes, PlacedClass)

    def moved_classes(self) -> list[PlacedClass]:
        """The classes whose examples are placed more differently than the rest, after correction."""
        return [row for row in self.classes if row.significant and row.difference < 0]

    def by_class(self) -> str:
        """Sentences: which classes move, on which the errors differ, and on which both."""
        if not self.classes:
            return "There are no labels: classes are not judged."
        said = _sentence("Classes placed more differently than the rest", self.moved_classes(), len(self.classes))
        if all(math.isnan(row.errors_p) for row in self.classes):
            return f"{said} Labels are not classes of both heads: errors are not judged."
        differ = sorted((row for row in self.classes if row.errors_differ), key=lambda row: row.errors_p)
        both = [row.name for row in self.moved_classes() if row.errors_differ]
        said += " " + _sentence("Classes whose errors differ", differ, len(self.classes), accuracy=True)
        return said + (f" Both: {listed(both, 6)}." if both else "")

    def __repr__(self) -> str:
        a, b = self.names
        rows = [
            (
                for_terminal(row.example_id),
                row.alignment,
                row.lowest,
                for_terminal(row.lowest_layer),
                *(("-" if value is None else for_terminal(value)) for value in (row.label, row.prediction_a)),
                "-" if row.prediction_b is None else for_terminal(row.prediction_b),
                "yes" if row.dominant else "",
            )
            for row in self.examples[:_SHOWN]
        ]
        header = ["example", "alignment", "lowest", "at layer", "label", for_terminal(a), for_terminal(b), "dominant"]
        title = (
            f"How alike {for_terminal(a)} and {for_terminal(b)} place each example (1: alike; by chance "
            f"{self.chance:.2f} or less in 95% of draws, at n = {self.batch_size}); {len(rows)} of "
            f"{len(self.examples)}, the most differently placed first"
        )
        lines = [
            title,
            text_table(rows, header),
            self.foretells(),
        ]
        lines += [self.by_class()] if self.classes else []
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def _sentence(what: str, rows: Sequence[PlacedClass], of: int, accuracy: bool = False) -> str:
    """The first five classes by name, each with its alignment or the difference of accuracies on it."""
    figures = [f"{row.accuracy_difference:+.1%}" if accuracy else short(row.alignment) for row in rows[:_SHOWN_CLASSES]]
    named = [f"{for_terminal(row.name)} ({figure})" for row, figure in zip(rows, figures, strict=False)]
    more = [f"and {len(rows) - len(named)} more"] if len(rows) > len(named) else []
    return f"{what}, corrected for {of}: {', '.join([*named, *more]) or 'none'}."
