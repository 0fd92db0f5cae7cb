"""Block structure: a long run of layers that all carry one dominant first principal component, and the evidence.

Nguyen, Raghu & Kornblith (2021, arXiv 2010.15327) saw it as a bright square in a network's CKA with itself. High
similarity alone is not it: untrained networks and plateaus are alike too. The cause decides: within the run the first
component dominates, is the same from layer to layer, and without it the layers are no longer alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.blocks.evidence import MIN_SHARE, Judged, SharedRemoval, describe, judge
from cka_plugin.analysis.blocks.kinds import OneKind, layers_of_one_kind
from cka_plugin.analysis.blocks.result import Block, BlockStructure
from cka_plugin.analysis.blocks.runs import (
    MIN_LAYERS,
    MIN_SIMILARITY,
    SimilarRun,
    alike_runs,
    low_quantile,
    shortest_run,
)
from cka_plugin.analysis.components.dominance import dominant_set
from cka_plugin.analysis.components.first_component import FirstComponent, first_component
from cka_plugin.analysis.components.shared import cka_without_shared_components
from cka_plugin.analysis.grams import GramVectors, cka_sums
from cka_plugin.core import Floats

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

    def removal(run: Sequence[int], count: int, layers: Sequence[int]) -> Floats:
        return cka_without_shared_components(representation, run, count, layers).cka()

    return _found(cka_sums(representation).cka(), evidence, list(representation.layer_names), removal)


def find_block_structure(
    matrix: npt.ArrayLike, first_component: FirstComponent | None = None, *, layers: Sequence[str] | None = None
) -> BlockStructure:
    """Find the block structure in a network's CKA with itself, and judge it by its cause.

    A *run* is at least 3 layers and 15% of all, whose mean CKA is 0.75 or more, that of its first and last layer with
    the others too, and at each end of which CKA drops: a layer outside, one of the next 2 (15% of all, if that is more)
    resembles those inside less than layers inside resemble one another at the same distance, by 0.15 or more, and by
    the more the more CKA falls inside: the drop, times what is missing to a CKA of 1 as a multiple of what is missing
    inside, is 0.5 or more (a drop of 0.2 and 2.5 times, of 0.3 and 1.7 times). In drift similarity depends on distance
    alone: no drop, and once.

    A run is a `strong` block where the first component has a share of 0.2 or more of the variance, the first components
    of two layers have a squared cosine of 0.7 or more on average, and the run is none without them, in one of two ways:

    - CKA drops by 0.5 or more within the next 2 layers (5% of all), and mean CKA at least halves where each layer loses
      its own first component, as in Nguyen et al. 2021;
    - there are layers at both ends, CKA drops by 0.2 or more, the first component holds half of the variance or more,
      and where all layers, those around too, lose what the run shares (one component, or up to 3), the drop at least
      halves: deep residual networks keep the rest of a representation alike as well, inside the run and out of it. A
      run at one end of the network needs the first way: layers that change ever less, as in untrained networks, look
      the same.

    Else it is `weak`, and `missing` says which part of the evidence it lacks. Where all layers are alike there are no
    surroundings for a run to be set off from: at most `weak`, if first components make it so, else `none`. Runs that
    are alike and not set off are described in `other_runs` and in the reason. The second way needs Gram matrices:
    `block_structure` has them, this function has not.

    Where modules inside of blocks are listed too, runs are looked for among those of one name, one a block
    (`BlockStructure.judged`), as the inside of blocks resembles neither its neighbours nor the outputs.

    How often it errs, by `python -m tests.calibration.side_by_side` (the table lies beside it): of 450 made networks of
    8 to 40 layers in minibatches of 32 to 128, called strong 0 of 300 without block structure (drift, plateaus, copies
    of a layer, a component that differs from layer to layer, short runs, residual networks untrained or initialised to
    zero); missed, or off by more than one layer at an end, 6 of 150 whose planted component has 30 to 95% of the
    variance, 5 of them among the 30 where it fades out at the ends. Of 52 trained networks, labelled by eye before:
    strong are 10 of 12 with a block, 9 of them within 15% of the layers of where it was seen (the other 2 are weak), 0
    of 22 without a square, and 2 of 18 that were unclear to the eye.

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
    return _found(values, first_component, names, None)


def _found(
    values: Floats, known: FirstComponent | None, names: list[str], removal: SharedRemoval | None
) -> BlockStructure:
    _check(values, known, names)
    kind = layers_of_one_kind(names, values)
    network = Judged(values, names, np.arange(len(names)) if kind is None else kind.positions, known, removal)
    seen = values[np.ix_(network.positions, network.positions)]
    runs = alike_runs(seen)
    judged = [judge(run, network) for run in runs if run.edges.set_off]
    # Without surroundings a run is told from a network alike throughout by its cause alone.
    whole = [judge(run, network) for run in runs if not run.edges.ends and known is not None]
    kept = _without_overlaps([*judged, *(block for block in whole if block.missing == ["surroundings"])])
    verdict = "none" if not kept else ("strong" if kept[0].verdict == "strong" else "weak")
    blocks = sorted((block for block in kept if block.verdict == verdict), key=lambda block: (-len(block), block.start))
    others = [block for block in kept if block.verdict != verdict]
    if not kept:
        others = [describe(run, network) for run in _most_set_off(runs)]
    return BlockStructure(
        verdict=verdict,
        blocks=blocks,
        reason=_reason(blocks, others, seen, kind),
        matrix=values,
        layers=names,
        first_component_share=None if known is None else known.share,
        first_component_cosine=None if known is None else known.cosine,
        matrix_without_first_component=None if known is None else known.matrix_without,
        participation_ratio=None if known is None else known.participation_ratio,
        other_runs=others,
        warnings=[] if known is None else _warnings(known),
        batch_size=None if known is None else known.batch_size,
        judged=None if kind is None else [names[position] for position in kind.positions],
    )


def _most_set_off(runs: Sequence[SimilarRun]) -> list[SimilarRun]:
    """Of the runs with surroundings, the one whose ends are sharpest."""
    within = [run for run in runs if run.edges.ends and math.isfinite(run.contrast)]
    return [max(within, key=lambda run: (run.contrast > 0, run.edges.sharpness, len(run)))] if within else []


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


def _reason(blocks: Sequence[Block], others: Sequence[Block], seen: Floats, kind: OneKind | None) -> str:
    among = "" if kind is None else f" Judged by {kind.kind!r} of each block, without the rest of what is inside."
    if blocks:
        more = f"; {len(blocks) - 1} more" if len(blocks) > 1 else ""
        return f"{blocks[0].reason[0].upper()}{blocks[0].reason[1:]}{more}.{among}"
    alive = int((np.isfinite(seen).sum(axis=1) > 1).sum())
    if alive < MIN_LAYERS:
        return f"Only {alive} layers have a similarity to others: too few for a run."
    level = low_quantile(seen)
    if level >= MIN_SIMILARITY:
        return f"All layers are alike (CKA of {level:.2f} or more in 90% of pairs): no run is set off.{among}"
    text = (
        f"No run of {shortest_run(alive)} or more layers is alike (mean CKA of {MIN_SIMILARITY} or more) "
        "and set off from the layers around it"
    )
    return text + "".join(f": {run.reason}" for run in others[:1]) + f".{among}"


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
    """What overlaps one that is kept is dropped. Strong before weak, set off before whole, of which a component is the
    cause before what is alike for another reason, long before short."""
    kept: list[Block] = []

    def order(block: Block) -> tuple[bool, bool, bool, int, float, int]:
        unexplained = not {"dominance", "sharing", "removal", "components"}.isdisjoint(block.missing)
        weak, whole = block.verdict != "strong", math.isnan(block.contrast)
        return weak, whole, unexplained, -len(block), -block.contrast, block.start

    for block in sorted(blocks, key=order):
        if all(block.stop <= other.start or other.stop <= block.start for other in kept):
            kept.append(block)
    return kept
