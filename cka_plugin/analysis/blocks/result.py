"""What is said of a network's block structure: the verdict, the blocks, and the evidence for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cka_plugin.core import Floats
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import matrix_image
from cka_plugin.tables import Result, text_table, to_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Block:
    """A run of layers that are alike and set off from the layers around them, and what makes them so.

    Attributes:
        verdict: `strong` where a dominant, shared first component was shown to make it, else `weak`; `none` for a run
            that is alike and not set off, which is no block and only described.
        start: position of the first layer.
        stop: position after the last.
        layers: their names.
        similarity: CKA that 90% of the pairs of its layers reach.
        contrast: how much less a layer just outside resembles those inside than layers inside resemble one another at
            the same distance, at the less sharp end; NaN where there are no layers around.
        mean_similarity: mean CKA of two different layers.
        first_component_share: mean share of the variance within the run; NaN where components are not known.
        first_component_share_outside: the same of the other layers.
        first_component_cosine: mean squared cosine of first components of two layers.
        similarity_without_first_component: mean CKA of two layers after the removal, to be held against
            `mean_similarity`; 0 for pairs of which nothing remains.
        dominant_examples: ids of all examples, the most dominant first; empty where not known.
        energy_of_top_1_percent: share of the squared projections held by the 1% most dominant examples.
        energy_of_top_10_percent: by the 10% most dominant.
        reason: one sentence.
        contrast_times: what is missing to a CKA of 1 across the end, as a multiple of what is missing inside at the
            same distance, at the less sharp end: 1 in smooth drift.
        contrast_without_shared_component: `contrast` once every layer, those around too, has lost the component that
            the run shares; NaN where not known.
        components_to_dissolve: how many shared components have to be taken out of every layer until the run is none
            (`contrast` or the mean CKA at most half of what it was); None where 3 are not enough, or not known.
        missing: which parts of the evidence a weak block lacks: `contrast`, `dominance`, `sharing`, `removal`,
            `surroundings` or, where nothing is known of its components, `components`.
    """

    verdict: str
    start: int
    stop: int
    layers: list[str]
    similarity: float
    contrast: float
    mean_similarity: float
    first_component_share: float = math.nan
    first_component_share_outside: float = math.nan
    first_component_cosine: float = math.nan
    similarity_without_first_component: float = math.nan
    dominant_examples: list[Any] = field(default_factory=list)
    energy_of_top_1_percent: float = math.nan
    energy_of_top_10_percent: float = math.nan
    reason: str = ""
    contrast_times: float = math.nan
    contrast_without_shared_component: float = math.nan
    components_to_dissolve: int | None = None
    missing: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        return f"Block({self.verdict}, {self.layers[0]} to {self.layers[-1]}, {len(self)} layers: {self.reason})"


@dataclass(frozen=True, repr=False)
class BlockStructure(Result):
    """Whether a network has the block structure, where, and why this is said.

    Attributes:
        verdict: `none`, `weak` (layers alike and set off, the cause not shown), `strong` (the cause shown), or, of
            `Comparison.block_structure`, `inconclusive` (the examples at hand do not tell).
        blocks: those that carry the verdict, largest first; empty where it is `none`.
        reason: one sentence.
        matrix: (layers, layers) CKA of the model with itself.
        layers: names of the layers.
        first_component_share: (layers,), or None where components are not known; so below.
        first_component_cosine: (layers, layers) squared cosines.
        matrix_without_first_component: (layers, layers).
        participation_ratio: (layers,).
        other_runs: beside strong blocks, runs that are alike for another reason; where there are no blocks, the run
            whose ends are sharpest, though not set off.
        warnings: what a reader should know about the evidence.
        batch_size: examples in a minibatch (the median), on which shares depend.
        seen: where the verdict is `inconclusive`, the one that the evidence at hand would give; else empty.
        inconclusive: why it is, and what would settle it, a sentence each.
        judged: names of the layers among which runs were looked for, where these are not all: of one kind, one a block.
    """

    verdict: str
    blocks: list[Block]
    reason: str
    matrix: Floats
    layers: list[str]
    first_component_share: Floats | None = None
    first_component_cosine: Floats | None = None
    matrix_without_first_component: Floats | None = None
    participation_ratio: Floats | None = None
    other_runs: list[Block] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    batch_size: int | None = None
    seen: str = ""
    inconclusive: list[str] = field(default_factory=list)
    judged: list[str] | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row a block, without the list of all its examples; the strong ones first."""
        return to_frame([*self.blocks, *self.other_runs], Block).drop(columns=["dominant_examples"])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        runs = [*self.blocks, *self.other_runs]
        rows = [
            [
                f"{run.layers[0]} .. {run.layers[-1]}",
                run.verdict,
                len(run),
                run.mean_similarity,
                run.first_component_share,
            ]
            for run in runs
        ]
        picture = matrix_image(
            self.matrix,
            f"CKA of the layers with one another{', runs outlined' if runs else ''}",
            [(run.start, run.stop) for run in runs],
        )
        header = ["layers", "verdict", "n", "mean CKA", "PC1 share"] if runs else []
        return card(f"Block structure: {self.verdict}", [self.reason, *self.warnings], header, rows, picture)

    def __repr__(self) -> str:
        lines = [f"Block structure: {self.verdict}. {self.reason}"]
        rows = [
            (
                f"{block.layers[0]} .. {block.layers[-1]}",
                block.verdict,
                len(block),
                block.mean_similarity,
                block.contrast,
                block.first_component_share,
                block.first_component_cosine,
                block.similarity_without_first_component,
                "-" if block.components_to_dissolve is None else block.components_to_dissolve,
            )
            for block in [*self.blocks, *self.other_runs]
        ]
        if rows:
            header = [
                "layers",
                "verdict",
                "n",
                "mean CKA",
                "contrast",
                "PC1 share",
                "PC1 cos²",
                "without PC1",
                "dissolved by",
            ]
            lines.append(text_table(rows, header))
            if self.batch_size is not None:
                lines.append(
                    f"PC1: first principal component, its share in minibatches of {self.batch_size} examples; "
                    "dissolved by so many shared components, taken out of all layers"
                )
        lines += [f"Note: {warning}" for warning in self.warnings]
        return "\n".join(lines)
