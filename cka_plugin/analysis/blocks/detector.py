"""Block structure: a long run of layers that all carry one dominant first principal component, and the evidence.

Nguyen, Raghu & Kornblith (2021, arXiv 2010.15327) saw it as a bright square in a network's CKA with itself. High
similarity alone is not it: untrained networks and plateaus are alike too. The cause decides: within the run the first
component dominates, is the same from layer to layer, and without it the layers are no longer alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.blocks.result import Block, BlockStructure
from cka_plugin.analysis.blocks.runs import (
    MIN_LAYERS,
    MIN_SIMILARITY,
    SimilarRun,
    low_quantile,
    off_diagonal,
    shortest_run,
    similar_runs,
)
from cka_plugin.analysis.components.dominance import dominant_set, ranking, top_share
from cka_plugin.analysis.components.first_component import FirstComponent, first_component
from cka_plugin.analysis.grams import GramVectors, cka_sums
from cka_plugin.core import Floats

# Beside each threshold, what networks made by `tests.calibration.blocks` have: planted blocks, and what is not one.
MIN_DROP = 0.5  # planted 0.75 and more; untrained residual networks of which removal leaves less than half, up to 0.45
MIN_SHARE = 0.2  # of the variance, the level that Nguyen et al. 2022 penalise; plateaus without a component 0.05 to 0.1
MIN_COSINE = 0.7  # squared, of first components; planted 0.9 and more, unrelated components 1/(n - 1)
MAX_REMAINING = 0.5  # of mean CKA; planted 0.1 to 0.45, untrained 0.45 to 0.95, plateaus and rotated copies 0.95 to 1
MIN_DOMINANT_ENERGY = 0.5  # of the squared projections, for a few examples to count as what carries a component
FEW_FOR_INTERVALS = 20  # dominant examples: with 5 of them 95% intervals hold the truth in 63%, with 13 in 91%


class ModelGrams(GramVectors, Protocol):
    """A representation: Gram vectors with the names of layers and examples."""

    @property
    def layer_names(self) -> Sequence[str]:
        """Names of the layers."""

    @property
    def example_ids(self) -> Sequence[Any]:
        """Ids of the examples."""


def block_structure(representation: ModelGrams) -> BlockStructure:
    """The block structure of a model, with its cause, from its representation alone.

    Takes 5 seconds for 160 layers and 40 minibatches of 64 on one core, 50 at 256.

    Raises:
        ValueError: no minibatches, or parts that do not fit together.
    """
    evidence = first_component(representation, representation.example_ids)
    return find_block_structure(cka_sums(representation).cka(), evidence, layers=representation.layer_names)


def find_block_structure(
    matrix: npt.ArrayLike, first_component: FirstComponent | None = None, *, layers: Sequence[str] | None = None
) -> BlockStructure:
    """Find the block structure in a network's CKA with itself, and judge it by its cause.

    A *run* is at least 3 layers and 15% of all, in which 90% of pairs reach a CKA of 0.75, and at each end of which CKA
    drops by 0.3: a layer outside, one of the next 2 (5% of all, if that is more), resembles those inside so much less
    than layers inside resemble one another at the same distance. A run is a `strong` block where the drop is 0.5 or
    more, the first component has a share of 0.2 or more of the variance, the first components of two layers have a
    squared cosine of 0.7 or more on average, and removing them at least halves the mean CKA. Else it is `weak`. Where
    all layers are alike there are no surroundings for a run to be set off from: at most `weak`, if first components
    make it so, else `none`.

    How often it errs, by `python -m tests.calibration.blocks`, on 450 made networks of 8 to 40 layers in minibatches of
    32 to 128: called strong, 0 of 300 without block structure (drift, plateaus, copies of a layer, a component that
    differs from layer to layer, short runs, residual networks untrained or initialised to zero); missed, or off by more
    than one layer at an end, 6 of 150 whose planted component has 30 to 95% of the variance, 5 of them among the 30
    where it fades out at the ends. Of 8 small residual networks trained on digits (`--trained`) none has a run.

    Args:
        matrix: (layers, layers) CKA, NaN for dead layers.
        first_component: what `first_component` gives. Without it no verdict is `strong`.
        layers: names. Default: their positions.

    Raises:
        ValueError: a matrix that is not square and symmetric, or evidence or names for another number of layers.

    Source: arXiv 2010.15327, section 4, and Nguyen et al. 2022 on the origins of the block structure.

    Example:
        >>> matrix = np.full((12, 12), 0.2); matrix[4:10, 4:10] = 0.95; np.fill_diagonal(matrix, 1)
        >>> found = find_block_structure(matrix)
        >>> found.verdict, found.blocks[0].start, found.blocks[0].stop
        ('weak', 4, 10)
    """
    values = np.asarray(matrix, dtype=np.float64)
    names = [str(i) for i in range(len(values))] if layers is None else list(layers)
    _check(values, first_component, names)
    judged = [_judge(run, values, first_component, names) for run in similar_runs(values)]
    kept = _without_overlaps([block for block in judged if block is not None])
    verdict = "none" if not kept else ("strong" if kept[0].verdict == "strong" else "weak")
    blocks = sorted((block for block in kept if block.verdict == verdict), key=lambda block: (-len(block), block.start))
    known = first_component
    return BlockStructure(
        verdict=verdict,
        blocks=blocks,
        reason=_reason(blocks, values),
        matrix=values,
        layers=names,
        first_component_share=None if known is None else known.share,
        first_component_cosine=None if known is None else known.cosine,
        matrix_without_first_component=None if known is None else known.matrix_without,
        participation_ratio=None if known is None else known.participation_ratio,
        other_runs=[block for block in kept if block.verdict != verdict],
        warnings=[] if known is None else _warnings(known),
        batch_size=None if known is None else known.batch_size,
    )


def _check(values: Floats, known: FirstComponent | None, names: Sequence[str]) -> None:
    count = len(values)
    if values.ndim != 2 or values.shape[1] != count or count == 0:
        raise ValueError(f"matrix of shape {values.shape}: expected (layers, layers), the CKA of one model with itself")
    if not np.allclose(values, values.T, atol=1e-6, equal_nan=True):
        raise ValueError("the matrix is not symmetric: expected the CKA of one model with itself")
    if len(names) != count:
        raise ValueError(f"{len(names)} layer names for a matrix of {count} layers")
    if known is not None:
        shapes = (known.share.shape, known.cosine.shape, known.matrix_without.shape)
        if shapes != ((count,), (count, count), (count, count)):
            raise ValueError(
                f"first_component has share, cosine and matrix_without of shapes {shapes}; expected {count} layers"
            )


def _judge(run: SimilarRun, matrix: Floats, known: FirstComponent | None, names: Sequence[str]) -> Block | None:
    """The block that a run is; None for a network alike throughout without the cause."""
    inside = slice(run.start, run.stop)
    pairs = off_diagonal(matrix[inside, inside])
    found = Block("weak", run.start, run.stop, list(names[inside]), run.similarity, run.contrast, _mean(pairs))
    if known is not None:
        without = off_diagonal(known.matrix_without[inside, inside])[np.isfinite(pairs)]
        found = replace(
            found,
            first_component_share=_mean(known.share[inside]),
            first_component_share_outside=_mean(np.r_[known.share[: run.start], known.share[run.stop :]]),
            first_component_cosine=_mean(off_diagonal(known.cosine[inside, inside])),
            # NaN: the layers are their first component and nothing else
            similarity_without_first_component=_mean(np.where(np.isfinite(without), without, 0.0)),
        )
        if known.dominance is not None:
            dominances = known.dominance[inside]
            found = replace(
                found,
                dominant_examples=[known.example_id(i) for i in ranking(dominances)],
                energy_of_top_1_percent=top_share(dominances, 0.01),
                energy_of_top_10_percent=top_share(dominances, 0.10),
            )
    doubts = _doubts(found) if known is not None else ["what its layers share is not known"]
    set_off = math.isfinite(run.contrast)
    if doubts and not set_off:
        return None
    if not set_off:
        doubts = ["it is the whole network, so that there is nothing it is set off from"]
    return replace(found, verdict="weak" if doubts else "strong", reason=_evidence(found, len(names), doubts))


def _doubts(block: Block) -> list[str]:
    """What speaks against a dominant, shared first component as the cause."""
    doubts = []
    if block.contrast < MIN_DROP:
        doubts.append(f"not sharply (a strong block takes {MIN_DROP})")
    if not block.first_component_share >= MIN_SHARE:
        doubts.append(f"the first component holds only {block.first_component_share:.0%} of the variance")
    if not block.first_component_cosine >= MIN_COSINE:
        doubts.append(f"first components differ between layers (squared cosine {block.first_component_cosine:.2f})")
    if not block.similarity_without_first_component <= MAX_REMAINING * block.mean_similarity:
        doubts.append(f"without the first component mean CKA is still {block.similarity_without_first_component:.2f}")
    return doubts


def _evidence(block: Block, layers: int, doubts: Sequence[str]) -> str:
    text = (
        f"layers {block.layers[0]} to {block.layers[-1]} ({len(block)} of {layers}) are alike (mean CKA "
        f"{block.mean_similarity:.2f})"
    )
    if math.isfinite(block.contrast):
        text += f" and set off (CKA drops by {block.contrast:.2f} or more at the ends)"
    if doubts:
        return f"{text}, but {' and '.join(doubts)}"
    return (
        f"{text}; their first component holds {block.first_component_share:.0%} of the variance, is shared (squared "
        f"cosine {block.first_component_cosine:.2f}), and without it mean CKA is "
        f"{block.similarity_without_first_component:.2f}"
    )


def _reason(blocks: Sequence[Block], matrix: Floats) -> str:
    if blocks:
        others = f"; {len(blocks) - 1} more" if len(blocks) > 1 else ""
        return f"{blocks[0].reason[0].upper()}{blocks[0].reason[1:]}{others}."
    alive = int((np.isfinite(matrix).sum(axis=1) > 1).sum())
    if alive < MIN_LAYERS:
        return f"Only {alive} layers have a similarity to others: too few for a run."
    level = low_quantile(matrix)
    if level >= MIN_SIMILARITY:
        return f"All layers are alike (CKA of {level:.2f} or more in 90% of pairs): no run is set off."
    return (
        f"No run of {shortest_run(alive)} or more layers is alike (CKA of {MIN_SIMILARITY} or more in 90% of pairs) "
        "and set off from the layers around it."
    )


def _warnings(known: FirstComponent) -> list[str]:
    """Few examples may carry the components; where most minibatches hold fewer than two, CKA is blind to them."""
    dominated = np.nan_to_num(known.share) >= MIN_SHARE
    if known.dominance is None or known.positions is None or not dominated.any():
        return []
    energy = np.square(known.dominance[dominated]).mean(axis=0)
    few = dominant_set(known.dominance[dominated])
    if energy[few].sum() < MIN_DOMINANT_ENERGY * energy.sum():
        return []
    warnings = []
    hold = f"{len(few)} of {len(energy)} examples hold most of the first components"
    lonely = np.mean([np.isin(chosen, few).sum() < 2 for chosen in known.positions])
    if lonely > 0.5:
        warnings.append(
            f"{hold}, and {lonely:.0%} of minibatches hold fewer than two of them: one that dominates alone is "
            "invisible to unbiased CKA, so take larger minibatches"
        )
    if len(few) < FEW_FOR_INTERVALS:
        warnings.append(f"{hold}: intervals of CKA are too narrow where so few carry it")
    return warnings


def _without_overlaps(blocks: Sequence[Block]) -> list[Block]:
    """Strong before weak, set off before whole, long before short; what overlaps one that is kept is dropped."""
    kept: list[Block] = []
    rank = {"strong": 0, "weak": 1}
    for block in sorted(blocks, key=lambda b: (rank[b.verdict], math.isnan(b.contrast), -len(b), -b.contrast, b.start)):
        if all(block.stop <= other.start or other.stop <= block.start for other in kept):
            kept.append(block)
    return kept


def _mean(values: Floats) -> float:
    """Mean of what is finite; NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan
