"""What the similarity of two models is held against, layer by layer: one table, and what it says in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cka_plugin.analysis.measures.registry import dependence_of
from cka_plugin.tables import Result, text_table
from cka_plugin.wording import for_terminal, number

Table: TypeAlias = tuple[list[str], list[tuple[str, ...]]]

_UNTRAINED = (
    "best match of the layer between untrained copies, one of each model; > CKA lies above it, < below it, ~ these "
    "examples do not tell (95% interval of the difference, each layer by itself)"
)
_ALONG = "the part of CKA along {data}: all of it, if the two layers shared no more than their likeness to these"
_COMPONENTS = (
    "share of its variance in the first principal component (in minibatches of {n}, on which it depends), and unbiased "
    "effective dimension"
)
_COLUMNS = {  # of the tables, which are empty where a level is missing
    "untrained": ("untrained", "untr."),
    "along": ("input, labels", "along"),
    "w/o dom.": ("w/o dom.",),
    "second": ("second", "untr."),
}
_MARKS = {"above": ">", "below": "<", "unclear": "~", "": " "}
WIDTH = 80  # of a terminal
_INDENT = 14
HALF = 0.5  # of CKA: what goes with a few examples beyond this is said to hang on them; a convention, not a test


@dataclass(frozen=True)
class LayerLevels:
    """One layer of `a` with its best match in `b`, and what that similarity is held against.

    Attributes:
        layer: of `a`.
        match: the layer of `b` most like it by CKA; None for a layer without similarity, and then all is NaN.
        tied: whether the examples do not tell it from the second best (jackknife of the difference); None: not known.
        cka: unbiased CKA of the two.
        low: lower end of its interval; NaN with fewer than 8 minibatches.
        high: upper end.
        chance: the 95% quantile of the largest CKA of this layer with any layer of `b`, with examples permuted.
        calibrated: (cka - chance) / (1 - chance).
        p: of the best match against that chance, (1 + draws that reach it) / (draws + 1).
        untrained: the largest CKA of this layer in the untrained copy of `a` with any layer in that of `b`.
        untrained_match: the layer where that is.
        above_untrained_low: lower end of the interval of `cka - untrained`, jackknifed as a difference.
        above_untrained_high: upper end.
        input: CKA of the layer with the inputs as they are in the data.
        input_of_match: of its match with them.
        labels: CKA of the layer with the labels (1 for two examples of one class, else 0).
        labels_of_match: of its match with them.
        along_data: the part of `cka` that lies along inputs and labels: what it would be if the two layers had nothing
            in common but their likeness to those.
        first_component_share: of the variance of the layer, in minibatches of this size.
        first_component_share_of_match: of its match.
        dimension: unbiased effective dimension of the layer (participation ratio), whatever the size of minibatches.
        dimension_of_match: of its match.
        without_dominant: CKA of the two without the examples that dominate first components.
        second: the second measure of the two.
        second_low: lower end of its interval.
        second_high: upper end.
        second_chance: the largest of 19 draws with the examples of one layer permuted.
        second_untrained: the second measure of the two layers of the untrained copies.
        sentence: all that in words.
    """

    layer: str
    match: str | None
    tied: bool | None = None
    cka: float = math.nan
    low: float = math.nan
    high: float = math.nan
    chance: float = math.nan
    calibrated: float = math.nan
    p: float = math.nan
    untrained: float = math.nan
    untrained_match: str | None = None
    above_untrained_low: float = math.nan
    above_untrained_high: float = math.nan
    input: float = math.nan
    input_of_match: float = math.nan
    labels: float = math.nan
    labels_of_match: float = math.nan
    along_data: float = math.nan
    first_component_share: float = math.nan
    first_component_share_of_match: float = math.nan
    dimension: float = math.nan
    dimension_of_match: float = math.nan
    without_dominant: float = math.nan
    second: float = math.nan
    second_low: float = math.nan
    second_high: float = math.nan
    second_chance: float = math.nan
    second_untrained: float = math.nan
    sentence: str = ""

    @property
    def against_untrained(self) -> str:
        """How CKA compares with the untrained level: `above`, `below`, `unclear`; empty where it is not known."""
        if math.isfinite(self.above_untrained_low):
            if self.above_untrained_low > 0:
                return "above"
            return "below" if self.above_untrained_high < 0 else "unclear"
        return ""

    @property
    def hangs_on_few(self) -> bool:
        """Whether at most half of a CKA beyond chance is left without the dominant examples."""
        return self.cka > 0 and not self.cka <= self.chance and self.without_dominant <= HALF * self.cka


@dataclass(frozen=True, repr=False)
class Levels(Result):
    """Two models layer by layer, and what their similarity is held against; made by `Comparison.levels`.

    Attributes:
        names: of the two models.
        layers: one row a layer of `a`.
        sentence: what of the similarity architecture, data and a few examples may explain.
        measure: the second one.
        setting: which CKA, of how many examples, in which minibatches.
        draws: permutations behind `chance` and `p`.
        examples: how many there are.
        batch_size: examples in a minibatch (the median).
        fraction: of the examples that is left out, the most dominant of each model.
        left_out: how many examples that are, of both models.
        dominant_examples: their ids.
        missing: columns that could not be had -> why.
        notes: what else a reader should know.
        shown: of the layers of either model, by name, what tables say where that is not the name: paths in one's own
            modules.
    """

    names: tuple[str, str]
    layers: list[LayerLevels]
    sentence: str
    measure: str
    setting: str
    draws: int
    examples: int
    batch_size: int
    fraction: float
    left_out: int
    dominant_examples: list[Any]
    missing: dict[str, str]
    notes: list[str] = field(default_factory=list)
    shown: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a layer of `a`."""
        return self.layers, LayerLevels

    def similarity_table(self) -> Table:
        """Each layer, its best match, CKA with its interval, and the levels of chance and of untrained copies."""
        header = ["layer", "best match", "CKA", "±95%", "chance", "calibr.", "untrained"]
        rows: list[tuple[str, ...]] = [
            (
                self.shown[0].get(row.layer, row.layer),
                "-" if row.match is None else self.shown[1].get(row.match, row.match) + " =" * bool(row.tied),
                number(row.cka),
                number(row.high - row.cka),
                number(row.chance),
                number(row.calibrated),
                f"{_MARKS[row.against_untrained]} {number(row.untrained)}",
            )
            for row in self.layers
        ]
        return header, rows

    def explanation_table(self) -> Table:
        """For each layer: data, first component, dominant examples and the second measure."""
        header = ["layer", "input", "labels", "along", "PC1", "dim.", "w/o dom.", "second", "untr."]
        rows: list[tuple[str, ...]] = [
            (
                self.shown[0].get(row.layer, row.layer),
                number(row.input, 2),
                number(row.labels, 2),
                number(row.along_data, 2),
                "-" if math.isnan(row.first_component_share) else f"{row.first_component_share:.0%}",
                number(row.dimension, 1),
                number(row.without_dominant),
                number(row.second, 2),
                number(row.second_untrained, 2),
            )
            for row in self.layers
        ]
        return header, rows

    def legend(self) -> list[str]:
        """What the columns mean, and why some are empty."""
        a = for_terminal(self.names[0])
        lines = {
            "=": "a tie: these examples do not tell it from the second best match",
            "±95%": (
                "half the jackknife interval: what other examples, not another training run, would change; it is too "
                "narrow where examples belong together, as crops of one picture do"
            ),
            "chance": f"what the best match reaches in 1 draw of 20 (of {self.draws}), examples of one permuted",
            "calibr.": "(CKA - chance) / (1 - chance)",
            "untrained": _UNTRAINED,
            "input, labels": f"CKA of the layer of {a} with the inputs as they are in the data, with the classes",
            "along": _ALONG.format(data=self.data),
            "PC1, dim.": f"of the layer of {a}: {_COMPONENTS.format(n=self.batch_size)}",
            "w/o dom.": (
                f"CKA without {self.left_out} of {self.examples} examples: the {self.fraction:.0%} of each model that "
                "dominate its first components"
            ),
            "second": (
                f"{self.measure} of the two ({dependence_of(self.measure)}; here n = {self.batch_size}); the largest "
                f"of 19 draws by chance is {self._second_chance()}"
            ),
            "untr.": "the same of the two layers of the untrained copies",
        }
        gone = {word for column in self.missing for word in _COLUMNS.get(column, ())}
        named = [f"{word:<{_INDENT}}{said}" for word, said in lines.items() if word not in gone]
        empty = [f"no {column}: {reason}" for column, reason in self.missing.items()]
        return [line for text in [*named, *empty] for line in wrapped(text, _INDENT)]

    @property
    def data(self) -> str:
        """What is known of the data: `inputs and labels`, `inputs`, `labels`."""
        return known_data(self.layers)

    def _second_chance(self) -> str:
        values = [row.second_chance for row in self.layers if math.isfinite(row.second_chance)]
        return f"{min(values):.2f} to {max(values):.2f}" if values else "-"

    def conclusion(self) -> list[str]:
        """The sentence on the two models, and the notes, in lines that fit a terminal."""
        return [line for text in [self.sentence, *(f"Note: {note}." for note in self.notes)] for line in wrapped(text)]

    def __repr__(self) -> str:
        a, b = map(for_terminal, self.names)
        similarity, explanation = self.similarity_table(), self.explanation_table()
        parts = [
            *wrapped(f"Layers of {a}, each with its best match in {b}: {self.setting}."),
            "",
            text_table(similarity[1], similarity[0], right=range(2, 7)),
            "",
            text_table(explanation[1], explanation[0], right=range(1, 9)),
            "",
            *self.legend(),
            "",
            *self.conclusion(),
        ]
        return "\n".join(parts)


def known_data(rows: Sequence[LayerLevels]) -> str:
    """Which of inputs and labels there is a CKA with."""
    held = {"inputs": [row.input for row in rows], "labels": [row.labels for row in rows]}
    return " and ".join(name for name, values in held.items() if any(map(math.isfinite, values))) or "inputs and labels"


def wrapped(text: str, indent: int = 0) -> list[str]:
    """A text in lines of at most 80 characters, the second and further ones indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
