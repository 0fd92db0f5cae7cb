"""The outcome of a check: a row a layer, sentences on what failed, and the tables that people and machines read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cka_plugin import tables
from cka_plugin.wording import number

if TYPE_CHECKING:
    from cka_plugin.analysis.errors.result import ErrorComparison

_SHOWN_LAYERS = 20


@dataclass(frozen=True)
class LayerCheck:
    """One layer of a model against its baseline.

    Attributes:
        name: common name.
        path: the module's own, in the model that was checked.
        kind: of layer.
        depth: relative, in [0, 1].
        cka: with the same layer of the baseline; NaN where it is undefined (`reason` says why).
        low: lower limit of the interval over minibatches; NaN with fewer than 8.
        high: upper limit.
        threshold: the lowest CKA that passes.
        floor: 1 - CKA that another machine's rounding alone may make.
        passed: whether `cka` reaches the threshold, give or take the floor.
        reason: why the similarity is undefined; empty where it is not.
    """

    name: str
    path: str
    kind: str
    depth: float
    cka: float
    low: float
    high: float
    threshold: float
    floor: float
    passed: bool
    reason: str = ""

    @property
    def close(self) -> bool:
        """Whether the threshold lies within the interval: on other examples the verdict might be the other."""
        return self.low <= self.threshold <= self.high

    @property
    def moved(self) -> bool:
        """Whether the layer differs from its baseline by more than rounding can explain."""
        return not self.cka >= 1.0 - self.floor

    @property
    def verdict(self) -> str:
        """`pass` or `fail`, and whether that is a close call."""
        return ("pass" if self.passed else "fail") + (" (close)" if self.close else "")


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Whether a model still is what its baseline says; made by `check`.

    Attributes:
        model: name of the model that was checked.
        baseline: name of the baseline, or its file.
        failures: what is wrong, a sentence each, the earliest layer first; empty where the check passed.
        layers: one row a layer of the baseline, in the order in which they fire.
        errors: the `ErrorComparison` of baseline (a) and model (b); None without labels or logits.
        churn: share of examples whose prediction changed; None without logits.
        meaning: what the pattern of failures may come from, a sentence; empty where the check passed.
        notes: what a reader should know and what does not fail the check.
        n_examples: number of examples.
        n_minibatches: number of minibatches.
    """

    model: str
    baseline: str
    failures: list[str]
    layers: list[LayerCheck]
    errors: ErrorComparison | None = None
    churn: float | None = None
    meaning: str = ""
    notes: list[str] = field(default_factory=list)
    n_examples: int = 0
    n_minibatches: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.passed

    @property
    def first_moved(self) -> LayerCheck | None:
        """The earliest layer that differs by more than rounding can explain; None where none does."""
        return next((layer for layer in self.layers if layer.moved), None)

    @property
    def worst(self) -> list[LayerCheck]:
        """The layers, those first whose CKA lies furthest below their thresholds; undefined ones before all."""
        return sorted(self.layers, key=lambda row: (row.passed, _margin(row)))

    def headline(self) -> str:
        """One line: passed or failed, and the lowest CKA."""
        alive = [row for row in self.layers if math.isfinite(row.cka)]
        lowest = min(alive, key=lambda row: row.cka, default=None)
        what = "no layer has a CKA" if lowest is None else f"lowest CKA {lowest.cka:.4f} at {lowest.name}"
        failed = sum(not row.passed for row in self.layers)
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{self.model} against {self.baseline}: {verdict}, {failed} of {len(self.layers)} layers below their"
            f" thresholds, {what}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON; NaN is None."""
        values: dict[str, Any] = tables.json_safe(
            {
                "passed": self.passed,
                "model": self.model,
                "baseline": self.baseline,
                "failures": self.failures,
                "meaning": self.meaning,
                "notes": self.notes,
                "layers": self.layers,
                "first_moved": None if self.first_moved is None else self.first_moved.name,
                "churn": self.churn,
                "n_examples": self.n_examples,
                "n_minibatches": self.n_minibatches,
            }
        )
        values["errors"] = None if self.errors is None else self.errors.to_dict()
        return values

    def to_markdown(self) -> str:
        """The table for a pull request or a job summary."""
        mark = "✅" if self.passed else "❌"
        lines = [f"### {mark} CKA check: {self.headline()}", ""]
        lines += [f"- {_escaped(sentence)}" for sentence in self.failures]
        lines += ["", self.meaning] if self.meaning else []
        lines += [
            "",
            "| layer | CKA | 95% interval | threshold | verdict |",
            "|---|---:|---:|---:|---|",
            *(
                f"| {_escaped(row.name)} | {number(row.cka, 4)} | {_interval(row)} | {row.threshold:g} |"
                f" {row.verdict} |"
                for row in self.worst
            ),
            "",
            *(f"> {_escaped(note)}" for note in [self._figures(), *self.notes]),
        ]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        lines = [self.headline(), *(f"  - {sentence}" for sentence in self.failures[:_SHOWN_LAYERS])]
        if len(self.failures) > _SHOWN_LAYERS:
            lines.append(f"  - ... and {len(self.failures) - _SHOWN_LAYERS} more")
        shown = self.worst[:_SHOWN_LAYERS]
        rows = [[row.name, number(row.cka, 4), _interval(row), f"{row.threshold:g}", row.verdict] for row in shown]
        lines += ["", tables.text_table(rows, ["layer", "CKA", "95% interval", "threshold", "verdict"])]
        if len(shown) < len(self.layers):
            lines.append(
                f"... and {len(self.layers) - len(shown)} more layers, all nearer to their thresholds or above"
            )
        lines += ["", self._figures(), *self.notes]
        if self.meaning:
            lines += ["", self.meaning]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<CheckResult: {self.headline()}>"

    def _figures(self) -> str:
        parts = [f"{self.n_examples} examples in {self.n_minibatches} minibatches"]
        if self.errors is not None:
            parts.append(f"accuracy {self.errors.accuracy_a:.1%} before, {self.errors.accuracy_b:.1%} now")
        if self.churn is not None:
            parts.append(f"{self.churn:.1%} of predictions changed")
        return "; ".join(parts) + "."


def _margin(row: LayerCheck) -> float:
    return row.cka - row.threshold if math.isfinite(row.cka) else -math.inf


def _interval(row: LayerCheck) -> str:
    return f"{row.low:.4f} to {row.high:.4f}" if math.isfinite(row.low) and math.isfinite(row.high) else "-"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
