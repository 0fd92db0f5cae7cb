"""The outcome of comparing the mistakes of two models: numbers, tables, words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin import tables
from cka_plugin.analysis.errors.certainty import Certainty, certainty_of
from cka_plugin.analysis.errors.predicted import Disagreement, Examples
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import Bar, bars_image

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_CLASSES = 10
_SHOWN_EXAMPLES = 5
_SUMMARISED = ("agreement_when_wrong", "kappa")


@dataclass(frozen=True)
class ClassDifference:
    """One class of an `ErrorComparison`: the examples whose label it is.

    Attributes:
        name: of the class.
        n: its examples.
        accuracy_a: share of them that a gets right (NaN where n is 0, like the three that follow).
        accuracy_b: share of them that b gets right.
        difference: accuracy_a - accuracy_b.
        low: lower limit of Tango's interval of the difference. The interval may leave 0 out where the exact test,
            which is conservative, is not significant: the test decides.
        high: upper limit.
        p: exact McNemar; 1 where no example is discordant.
        p_corrected: corrected over all classes.
        significant: whether p_corrected is at most alpha.
        testable: whether it could have been: with all n examples discordant in one direction, and the other classes
            as they are, p_corrected would be at most alpha. A class that is not testable is not known to be equal.
    """

    name: str
    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    significant: bool
    testable: bool


@dataclass(frozen=True, eq=False, repr=False)
class ErrorComparison(tables.Result):
    """How the mistakes of two models on the same labelled examples differ; made by `compare_errors`.

    Differences are a - b throughout: positive where a is the more accurate.

    Attributes:
        names: of the two models.
        class_names: of all classes, in the order of their indices; the last is `other` where predictions lie outside a
            mapping.
        accuracy_a: share of examples that a gets right.
        accuracy_b: share of examples that b gets right.
        difference: accuracy_a - accuracy_b.
        interval: (low, high) of the difference: Tango's paired score interval at `level`.
        agreement: share of examples with the same prediction, right or wrong.
        agreement_when_wrong: the same among examples that both get wrong.
        kappa: Cohen's kappa of correctness beyond chance ("error consistency").
        mcnemar_p: exact McNemar test over all examples.
        classes: one row a class, in the order of class indices, classes without examples too.
        examples: what was predicted for each example.
        level: of the intervals.
        alpha: of `significant`, after correction.
        correction: of the p values over classes.
        reasons: for each attribute that is NaN or has NaN in it, by its name, why.
        outside: for a and b, the share of examples for which it predicts a class outside its mapping. Two such
            predictions agree where they are the same class of the heads.
        notes: what a reader should know, such as labels that no class of a head means.
    """

    names: tuple[str, str]
    class_names: list[str]
    accuracy_a: float
    accuracy_b: float
    difference: float
    interval: tuple[float, float]
    agreement: float
    agreement_when_wrong: float
    kappa: float
    mcnemar_p: float
    classes: list[ClassDifference]
    examples: Examples
    level: float
    alpha: float
    correction: str
    reasons: dict[str, str] = field(default_factory=dict)
    outside: tuple[float, float] = (0.0, 0.0)
    notes: list[str] = field(default_factory=list)

    @property
    def n_examples(self) -> int:
        """How many examples were compared."""
        return len(self.examples.label)

    @property
    def churn(self) -> float:
        """Share of examples whose prediction differs: 1 - agreement, and at least |difference|."""
        return 1.0 - self.agreement

    @cached_property
    def certainty(self) -> Certainty:
        """Whether the accuracies are `different`, `equivalent` or that is `inconclusive`, and what would settle it."""
        right_a, right_b = self.examples.right_a, self.examples.right_b
        only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
        return certainty_of(only_a, only_b, self.n_examples, self.interval, self.alpha)

    @property
    def verdict(self) -> str:
        """`different`, `equivalent` or `inconclusive`, of the accuracies: see `certainty`."""
        return self.certainty.verdict

    @property
    def classes_too_small(self) -> int:
        """How many classes have too few examples ever to be significant: they are not known to be equal."""
        return sum(not row.testable for row in self.classes)

    @cached_property
    def disagreements(self) -> list[Disagreement]:
        """The examples with different predictions, those first on which the less confident of the two is most
        confident.

        Ties, and examples without confidences, keep the order in which they were given; a model without confidences
        does not count.
        """
        e = self.examples
        differ = np.flatnonzero(~e.same)
        surer = np.fmin(e.confidence_a[differ], e.confidence_b[differ])
        order = differ[np.argsort(-surer, kind="stable")]
        right = np.select([e.right_a[order], e.right_b[order]], ["a", "b"], "neither")
        columns = (e.label, e.prediction_a, e.prediction_b, e.confidence_a, e.confidence_b)
        rows = zip(*(column[order].tolist() for column in columns), right.tolist(), strict=True)
        outside = [(e.outside_a or [])[i : i + 1] + (e.outside_b or [])[i : i + 1] for i in order.tolist()]
        found = zip(order.tolist(), rows, outside, strict=True)
        return [Disagreement(e.example_id[i], *row, *more) for i, row, more in found]

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a class."""
        return self.classes, ClassDifference

    def disagreements_to_frame(self) -> pd.DataFrame:
        """The disagreements as a table, columns named as the attributes of `Disagreement`."""
        return tables.to_frame(self.disagreements, Disagreement)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the agreeing examples, ready for JSON: NaN is None, and `reasons` says why."""
        result = super().to_dict() | {"n_examples": self.n_examples, "churn": self.churn}
        result |= {"verdict": self.verdict, "certainty": self.certainty.to_dict()}
        result |= {"classes_too_small": self.classes_too_small}
        del result["examples"]
        return result | {"disagreements": tables.json_safe(self.disagreements)}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        first = sorted(self.classes, key=lambda row: (row.p_corrected, row.p, -row.n))[:_SHOWN_CLASSES]
        bars = [Bar(row.name, row.difference, row.low, row.high, stressed=row.significant) for row in first]
        told = f"accuracy of {self.names[0]} minus that of {self.names[1]}, class by class, with {self.level:.0%} "
        told += "intervals; orange where it differs"
        rows = [
            ["accuracy", self.accuracy_a, self.accuracy_b],
            ["difference", self.difference, f"{self.interval[0]:+.3f} to {self.interval[1]:+.3f}"],
            ["exact McNemar p", self.mcnemar_p, self.verdict],
            ["same predictions", self.agreement, ""],
            ["kappa of correctness", self.kappa, ""],
        ]
        title = f"Errors of {self.names[0]} and {self.names[1]} on {self.n_examples} examples"
        sentences = [f"{repr(self.certainty).capitalize()}.", *self.notes]
        return card(title, sentences, ["", *self.names], rows, bars_image(bars, told, points=True))

    def __repr__(self) -> str:
        a, b = self.names
        different = sum(row.significant for row in self.classes)
        blind = f"; too few examples to tell of {self.classes_too_small}" if self.classes_too_small else ""
        return (
            f"<ErrorComparison of {a} ({self.accuracy_a:.3f}) and {b} ({self.accuracy_b:.3f}) on {self.n_examples} "
            f"examples: difference {self.difference:+.3f}, McNemar p {tables.short(self.mcnemar_p)}, {self.verdict}, "
            f"kappa {tables.short(self.kappa)}; {different} of {len(self.classes)} classes differ{blind}>"
        )

    def __str__(self) -> str:
        a, b = self.names
        low, high = self.interval
        lines = [
            (
                f"{a} is right on {self.accuracy_a:.1%} of {self.n_examples} examples, {b} on {self.accuracy_b:.1%}: "
                f"a difference of {self.difference:+.1%} [{low:+.1%}, {high:+.1%} at {self.level:.0%}], "
                f"exact McNemar p = {tables.short(self.mcnemar_p)}"
            ),
            repr(self.certainty),
            (
                f"they agree on {self.agreement:.1%} of the examples, "
                f"on {_percent(self.agreement_when_wrong)} of those both get wrong; "
                f"kappa of correctness beyond chance = {tables.short(self.kappa)}"
            ),
            *(f"({name} is undefined: {self.reasons[name]})" for name in _SUMMARISED if name in self.reasons),
            *(f"Note: {note}" for note in self.notes),
            "",
            self._class_lines(),
        ]
        if self.disagreements:
            lines += ["", self._disagreement_lines()]
        return "\n".join(lines)

    def _class_lines(self) -> str:
        different = sum(row.significant for row in self.classes)
        blind = self.classes_too_small
        title = f"classes that differ (McNemar, {self.correction}, corrected p <= {self.alpha:g}): "
        title += f"{different} of {len(self.classes)}"
        if blind:
            title += f"; too few examples to tell of {blind}"
        first = sorted(self.classes, key=lambda row: (row.p_corrected, row.p, -row.n))[:_SHOWN_CLASSES]
        rows = [
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
                "differs" if row.significant else "" if row.testable else "too few",
            ]
            for row in first
        ]
        header = ["class", "n", *self.names, "difference", "low", "high", "p", "p corrected", ""]
        more = len(self.classes) - len(first)
        return "\n".join([title, tables.text_table(rows, header), *([f"... and {more} more"] if more else [])])

    def _disagreement_lines(self) -> str:
        first = self.disagreements[:_SHOWN_EXAMPLES]
        names = self.class_names
        rows = [
            [
                str(row.example_id),
                names[row.label],
                _named(names[row.prediction_a], row.outside_a),
                row.confidence_a,
                _named(names[row.prediction_b], row.outside_b),
                row.confidence_b,
            ]
            for row in first
        ]
        title = f"most confident of {len(self.disagreements)} disagreements"
        header = ["example", "label", self.names[0], "confidence", self.names[1], "confidence"]
        return "\n".join([title, tables.text_table(rows, header)])


def _named(name: str, outside: str) -> str:
    return f"{name} ({outside})" if outside else name


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
