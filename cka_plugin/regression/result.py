"""The outcome of a check: a row a layer, sentences on what failed, and the tables that people and machines read."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cka_plugin import tables
from cka_plugin.notebook.card import MOST_ROWS, card
from cka_plugin.notebook.images import Bar, bars_image
from cka_plugin.regression.chart import mermaid
from cka_plugin.regression.moved_examples import MovedExample, sentence_on
from cka_plugin.regression.words import what_moved
from cka_plugin.wording import for_markdown, for_terminal, interval, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cka_plugin.analysis.errors.result import ErrorComparison

_SHOWN_LAYERS = 20
_SAID = 3  # sentences of a summary on what is no layer


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
        passed: whether `cka` reaches the threshold, give or take the floor; what cannot be judged has not passed.
        reason: why the similarity is undefined; empty where it is not.
        inconclusive: it cannot be judged: there is no similarity now, and for the same reason none in the baseline.
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
    inconclusive: bool = False

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
        """`pass`, `fail` or `inconclusive`, and whether that is a close call."""
        if self.inconclusive:
            return "inconclusive"
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
        inconclusive: what could not be judged and was not given up by `allow_nan`, a sentence each, with what would
            settle it.
        level: of the intervals.
        examples: the 20 that moved most, the furthest first; empty where the check passed, or no layer moved.
        raw: gives examples by their ids as they are in the data, for the page; None where the check had no data.
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
    inconclusive: list[str] = field(default_factory=list)
    level: float = 0.95
    examples: list[MovedExample] = field(default_factory=list)
    raw: Callable[[Sequence[Any]], dict[Any, Any]] | None = field(default=None, compare=False)

    @property
    def passed(self) -> bool:
        """Whether all was judged and nothing failed."""
        return not self.failures and not self.inconclusive

    @property
    def verdict(self) -> str:
        """`passed`, `FAILED`, or `inconclusive` where nothing failed and not all could be judged."""
        if self.failures:
            return "FAILED"
        return "inconclusive" if self.inconclusive else "passed"

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
        """One line: passed, failed or inconclusive, and the lowest CKA."""
        alive = [row for row in self.layers if math.isfinite(row.cka)]
        lowest = min(alive, key=lambda row: row.cka, default=None)
        what = "no layer has a CKA" if lowest is None else f"lowest CKA {lowest.cka:.4f} at {lowest.name}"
        failed = sum(not row.passed and not row.inconclusive for row in self.layers)
        unjudged = sum(row.inconclusive for row in self.layers)
        counted = f"{failed} of {len(self.layers)} layers below their thresholds"
        if unjudged:
            counted += f", {unjudged} not judged"
        return f"{self.model} against {self.baseline}: {self.verdict}, {counted}, {what}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON; NaN is None."""
        values: dict[str, Any] = tables.json_safe(
            {
                "passed": self.passed,
                "model": self.model,
                "baseline": self.baseline,
                "verdict": self.verdict,
                "failures": self.failures,
                "inconclusive": self.inconclusive,
                "meaning": self.meaning,
                "notes": self.notes,
                "layers": self.layers,
                "first_moved": None if self.first_moved is None else self.first_moved.name,
                "examples": self.examples,
                "churn": self.churn,
                "n_examples": self.n_examples,
                "n_minibatches": self.n_minibatches,
            }
        )
        values["errors"] = None if self.errors is None else self.errors.to_dict()
        return values

    def report(self, path: str | os.PathLike[str], *, examples: bool = True, accept: str = "") -> Path:
        """Write one HTML page: worst first, what moved, where, for which classes and examples, and what it may mean.

        Args:
            path: of the page.
            examples: show examples, read again from the data of the check; False, for private data: their ids alone.
            accept: how what the model computes now is accepted, a sentence.

        Returns:
            The path.

        Raises:
            OSError: it cannot be written.
        """
        from cka_plugin.regression.page import contents_of
        from cka_plugin.report.page.write import write_check

        return write_check(contents_of(self, examples, accept), path)

    def plot(self, *, ax: Axes | None = None, width: str | float | None = None, title: str | None = None) -> Figure:
        """CKA of each layer with the baseline against its threshold.

        Args:
            ax: matplotlib axes to draw in; by default a figure of its own.
            width: `column` (3.25 inches), `text` (6.75 inches), or inches.
            title: over the picture; by default which model, against what.

        Returns:
            A matplotlib figure.

        Raises:
            ModuleNotFoundError: matplotlib is not installed: `pip install matplotlib`.
        """
        from cka_plugin.report.plots.check import check
        from cka_plugin.report.plots.frame import Frame

        return check(self.layers, Frame(ax, width, f"{self.model} against {self.baseline}" if title is None else title))

    def to_markdown(self) -> str:
        """The summary for a pull request or a job summary: what is shown has 20 lines at most, the rest is folded."""
        mark = {"passed": "✅", "FAILED": "❌"}.get(self.verdict, "❔")
        lines = [f"### {mark} CKA check: {for_markdown(self.headline())}", ""]
        said = self._summary()
        lines += [f"- {for_markdown(sentence)}" for sentence in said]
        lines += ["", for_markdown(self.meaning)] if self.meaning else []
        lines += ["", *mermaid(self.layers)] if said else []
        lines += ["", for_markdown(self._figures()), "", "<details><summary>All layers and notes</summary>", ""]
        if said:
            lines += [*(f"- {for_markdown(sentence)}" for sentence in self.sentences()), ""]
        lines += [
            f"| {' | '.join(self._header())} |",
            "|---|---:|---:|---:|---|",
            *(f"| {' | '.join(for_markdown(cell) for cell in _cells(row))} |" for row in self.worst),
            "",
            *(f"> {for_markdown(note)}" for note in self.notes),
            "</details>",
        ]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        sentences = self.sentences()
        lines = [self.headline(), *(f"  - {sentence}" for sentence in sentences[:_SHOWN_LAYERS])]
        if len(sentences) > _SHOWN_LAYERS:
            lines.append(f"  - ... and {len(sentences) - _SHOWN_LAYERS} more")
        shown = [[for_terminal(cell) for cell in _cells(row)] for row in self.worst[:_SHOWN_LAYERS]]
        moved = sentence_on(self.examples)
        rest = [
            "",
            self._figures(),
            *self.notes,
            *([moved] if moved else []),
            *(["", self.meaning] if self.meaning else []),
        ]
        if len(shown) < len(self.layers):
            hidden = len(self.layers) - len(shown)
            rest.insert(0, f"... and {hidden} more layers, all nearer to their thresholds or above")
        table = tables.text_table(shown, self._header())
        return "\n".join([*map(for_terminal, lines), "", table, *map(for_terminal, rest)])

    def sentences(self) -> list[str]:
        """What failed and what could not be judged."""
        return [*self.failures, *self.inconclusive]

    def _summary(self) -> list[str]:
        """A few sentences for those who read no more: worst first, what moved, what else failed, which examples."""
        if self.passed:
            return []
        layers = sum(not row.passed and not row.inconclusive for row in self.layers)
        others = [*self.failures[layers:], *self.inconclusive]
        said = [what_moved(self.worst), *others[:_SAID]]
        said += [f"... and {len(others) - _SAID} more below"] if len(others) > _SAID else []
        return said + ([moved] if (moved := sentence_on(self.examples)) else [])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        worst = self.worst[:MOST_ROWS]
        bars = [Bar(row.name, row.cka, row.low, row.high, row.threshold, stressed=not row.passed) for row in worst]
        told = "CKA with the baseline, the layers nearest to or below their thresholds (black ticks), with "
        told += f"{100 * self.level:.3g}% intervals; orange where it has not passed"
        sentences = [text for text in [*self._summary(), self.meaning, self._figures()] if text]
        rows, picture = [_cells(row) for row in worst], bars_image(bars, told, points=True)
        return card(self.headline(), sentences, self._header(), rows, picture)

    def __repr__(self) -> str:
        return f"<CheckResult: {for_terminal(self.headline())}>"

    def _header(self) -> list[str]:
        return ["layer", "CKA", f"{100 * self.level:.3g}% interval", "threshold", "verdict"]

    def _figures(self) -> str:
        parts = [f"{self.n_examples} examples in {self.n_minibatches} minibatches"]
        if self.errors is not None:
            parts.append(f"accuracy {self.errors.accuracy_a:.1%} before, {self.errors.accuracy_b:.1%} now")
        if self.churn is not None:
            parts.append(f"{self.churn:.1%} of predictions changed")
        return "; ".join(parts) + "."


def _margin(row: LayerCheck) -> float:
    return row.cka - row.threshold if math.isfinite(row.cka) else -math.inf


def _cells(row: LayerCheck) -> list[str]:
    limits = interval(row.low, row.high, 4)
    return [row.name, number(row.cka, 4), limits, f"{row.threshold:g}", row.verdict]
