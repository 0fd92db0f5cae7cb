"""What makes a run of layers alike: the evidence, the verdict on one run, and the sentence that says so.

A component makes a run where it dominates, is shared, and where the run is not a run without it: either its layers are
no longer alike, or layers around it are as alike to them as they are to one another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.blocks.result import Block
from cka_plugin.analysis.blocks.runs import Contrast, SimilarRun, contrast, edge_width, off_diagonal
from cka_plugin.analysis.components.dominance import ranking, top_share
from cka_plugin.analysis.components.first_component import FirstComponent
from cka_plugin.core import Floats

# Beside each threshold, what networks have: made ones (`tests.calibration.blocks`), untrained ones, trained ones
# (`tests.calibration.trained`).
MIN_SHARE = 0.2  # of the variance, the level that Nguyen et al. 2022 penalise; plateaus without a component 0.05 to 0.1
MIN_COSINE = 0.7  # squared, of first components; planted 0.9 and more, unrelated components 1/(n - 1)
MAX_REMAINING = 0.5  # of mean CKA; planted 0.1 to 0.45, untrained 0.45 to 0.95, plateaus and rotated copies 0.95 to 1
MAX_CONTRAST_LEFT = 0.5  # of the drop at the ends; planted 0.05, trained blocks 0.1 to 0.3, plateaus 0.95 and more
MAX_COMPONENTS = 3  # shared ones that are taken out before a run counts as made by something else
# Drift that slows down, as in untrained residual networks, leaves a run of nearly all layers at one end of the network,
# with a shared first component of up to 0.95 of the variance, a drop of up to 0.6, and at least half of CKA after
# removal. A run at one end takes more than that.
MIN_DROP = 0.5  # within two layers; planted 0.75 and more
MIN_DROP_BETWEEN = 0.2  # with layers at both ends; there, trained networks without a square have up to 0.15
MAJORITY = 0.5  # of the variance, for a run with layers at both ends; trained networks without a square 0.25 to 0.45

SharedRemoval = Callable[[Sequence[int], int, Sequence[int]], Floats]
"""(positions of a run, how many shared components, positions of layers) -> CKA of these layers without them."""


@dataclass(frozen=True)
class Judged:
    """A network as it is judged.

    Attributes:
        matrix: (layers, layers) CKA of all layers.
        names: their names.
        positions: of the layers that are judged: all, or those of one kind.
        known: what is known of first components.
        removal: CKA without shared components, or None where there are no Gram matrices to take them from.
    """

    matrix: Floats
    names: Sequence[str]
    positions: npt.NDArray[np.int64]
    known: FirstComponent | None = None
    removal: SharedRemoval | None = None


def judge(run: SimilarRun, network: Judged) -> Block:
    """The block that a run is.

    Args:
        run: its positions count among the judged layers.
        network: where it was found.
    """
    rows = network.positions[run.start : run.stop]
    start, stop = int(rows[0]), int(rows[-1]) + 1
    pairs = off_diagonal(network.matrix[np.ix_(rows, rows)])
    found = Block(
        "weak", start, stop, list(network.names[start:stop]), run.similarity, run.contrast, mean_of(pairs),
        contrast_times=run.edges.times,
    )  # fmt: skip
    known = network.known
    if known is None:
        return replace(found, missing=["components"], reason=_sentence(found, network, _UNKNOWN))
    outside = np.setdiff1d(network.positions, rows)
    without = off_diagonal(known.matrix_without[np.ix_(rows, rows)])[np.isfinite(pairs)]
    found = replace(
        found,
        first_component_share=mean_of(known.share[rows]),
        first_component_share_outside=mean_of(known.share[outside]),
        first_component_cosine=mean_of(off_diagonal(known.cosine[np.ix_(rows, rows)])),
        # NaN: the layers are their first component and nothing else
        similarity_without_first_component=mean_of(np.where(np.isfinite(without), without, 0.0)),
    )
    if known.dominance is not None:
        dominances = known.dominance[rows]
        found = replace(
            found,
            dominant_examples=[known.example_id(i) for i in ranking(dominances)],
            energy_of_top_1_percent=top_share(dominances, 0.01),
            energy_of_top_10_percent=top_share(dominances, 0.10),
        )
    found = _with_removal(found, run, network)
    doubts = _doubts(found, run.edges)
    return replace(
        found,
        verdict="weak" if doubts else "strong",
        missing=[part for part, _ in doubts],
        reason=_sentence(found, network, [text for _, text in doubts]),
    )


def describe(run: SimilarRun, network: Judged) -> Block:
    """A run that is alike and not set off, as what it is: no block, with what is missing."""
    found = judge(run, replace(network, known=None))
    times = f", {run.edges.times:.1f} times what distance alone brings" if math.isfinite(run.edges.times) else ""
    lacking = f"CKA drops by only {run.contrast:.2f} at the less sharp end{times}"
    alike = f"{_place(found, network)} are alike (mean CKA {found.mean_similarity:.2f}) and not set off: {lacking}"
    return replace(found, verdict="none", missing=["contrast"], reason=alike)


def mean_of(values: Floats) -> float:
    """Mean of what is finite; NaN where nothing is."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _with_removal(block: Block, run: SimilarRun, network: Judged) -> Block:
    """How many shared components it takes until the run is none, and what its ends are without the first."""
    dominant = block.first_component_share >= MIN_SHARE and block.first_component_cosine >= MIN_COSINE
    if network.removal is None or not run.edges.ends or not dominant:
        return block
    alive = np.flatnonzero(np.isfinite(network.matrix[np.ix_(network.positions, network.positions)]).sum(axis=1) > 1)
    width = edge_width(alive.size)
    first, last = int(np.searchsorted(alive, run.start)), int(np.searchsorted(alive, run.stop))
    begin = max(first - width, 0)
    inside = slice(first - begin, last - begin)
    layers, around = (
        network.positions[alive[part]].tolist() for part in (slice(first, last), slice(begin, last + width))
    )
    for count in range(1, MAX_COMPONENTS + 1):
        left = network.removal(layers, count, around)
        left = np.where(np.isfinite(left), left, 0.0)
        edges = contrast(left, inside.start, inside.stop, alive.size)
        if count == 1:
            block = replace(block, contrast_without_shared_component=edges.drop)
        mean = mean_of(off_diagonal(left[inside, inside]))
        if edges.drop <= MAX_CONTRAST_LEFT * run.contrast or mean <= MAX_REMAINING * block.mean_similarity:
            return replace(block, components_to_dissolve=count)
    return block


_UNKNOWN = ["what its layers share is not known"]


def _doubts(block: Block, edges: Contrast) -> list[tuple[str, str]]:
    """What speaks against a dominant, shared component as the cause: which part of the evidence, and in words."""
    doubts = []
    share = f"the first component holds only {block.first_component_share:.0%} of the variance"
    if not block.first_component_share >= MIN_SHARE:
        doubts.append(("dominance", share))
    if not block.first_component_cosine >= MIN_COSINE:
        doubts.append(
            ("sharing", f"first components differ between layers (squared cosine {block.first_component_cosine:.2f})")
        )
    apart = block.similarity_without_first_component <= MAX_REMAINING * block.mean_similarity
    remains = f"without the first component mean CKA is still {block.similarity_without_first_component:.2f}"
    if not apart and block.components_to_dissolve is None:
        doubts.append(("removal", remains + _still_set_off(block)))
    if not edges.ends:
        doubts.append(("surroundings", "it is the whole network, so that there is nothing it is set off from"))
    if doubts or (apart and edges.sharp >= MIN_DROP):
        return doubts
    otherwise = f"(else a strong block takes a drop of {MIN_DROP} within two layers, and half of CKA)"
    if edges.ends < 2:
        text = "it lies at an end of the network, where layers that change ever less look the same"
        return [("surroundings", f"{text} {otherwise}")]
    if not block.first_component_share >= MAJORITY:
        return [("dominance", f"{share}, less than half {otherwise}")]
    if block.components_to_dissolve is None:
        return [("contrast", f"not sharply {otherwise}")]
    if block.contrast < MIN_DROP_BETWEEN:
        return [("contrast", f"by less than {MIN_DROP_BETWEEN} {otherwise}")]
    return []


def _still_set_off(block: Block) -> str:
    if not math.isfinite(block.contrast_without_shared_component):
        return ""
    return f" and with {MAX_COMPONENTS} shared ones taken out of all layers it is still a run"


def _place(block: Block, network: Judged) -> str:
    return f"layers {block.layers[0]} to {block.layers[-1]} ({len(block)} of {len(network.names)})"


def _sentence(block: Block, network: Judged, doubts: Sequence[str]) -> str:
    text = f"{_place(block, network)} are alike (mean CKA {block.mean_similarity:.2f})"
    if math.isfinite(block.contrast):
        text += f" and set off (CKA drops by {block.contrast:.2f} or more at the ends)"
    if doubts:
        return f"{text}, but {' and '.join(doubts)}"
    text += (
        f"; their first component holds {block.first_component_share:.0%} of the variance, is shared (squared "
        f"cosine {block.first_component_cosine:.2f}), and without it mean CKA is "
        f"{block.similarity_without_first_component:.2f}"
    )
    if block.similarity_without_first_component <= MAX_REMAINING * block.mean_similarity:
        return text
    count, left = block.components_to_dissolve, block.contrast_without_shared_component
    if count == 1 and left <= MAX_CONTRAST_LEFT * block.contrast:
        drop = f"CKA drops by only {left:.2f} at the ends" if left > 0 else "CKA no longer drops at the ends"
        return f"{text}; once the one they share is taken out of all layers, {drop}"
    taken = "one component that they share is" if count == 1 else f"{count} components that they share are"
    return f"{text}; once {taken} taken out of all layers, the drop or the mean is at most half of what it was"
