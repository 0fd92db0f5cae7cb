"""Runs of layers that are alike and set off from the layers around them, in a matrix of CKA.

High similarity alone says little: neighbouring layers always resemble one another. A run counts only where similarity
drops at its ends: a layer just outside resembles those inside less than layers inside resemble one another at the same
distance. In smooth drift similarity depends on distance alone, that difference is zero, and what is missing to a CKA of
1 across the end is no more than inside. How sharp an end looks is the ratio of the two: a drop from 0.97 to 0.7 is ten
times what distance alone brings, one from 0.8 to 0.53 not two and a half times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cka_plugin.core import Floats

# Beside thresholds, what networks made by `tests.calibration.blocks` have.
MIN_LAYERS = 3
MIN_FRACTION = 0.15  # of the layers
LOW_QUANTILE = 0.1  # of CKA over the pairs of a run: what 90% of pairs reach, one odd layer notwithstanding
MIN_SIMILARITY = 0.75  # mean CKA of a run, and of its first and last layer with the others
MIN_CONTRAST = 0.15  # smooth drift 0, between two ends of trained networks without a square up to 0.15, planted 0.75
MIN_SHARPNESS = 0.5  # smooth drift 0, between two ends of trained networks without a square up to 0.4
_LEAST_MISSING = 0.01  # to a CKA of 1: below, what distance brings is not told apart from nothing
EDGE_LAYERS = 2
EDGE_FRACTION = 0.15  # of the layers, over which similarity may drop: blocks of trained networks fade gradually
SHARP_FRACTION = 0.05  # over which it drops where an end is sharp
_LEVELS = np.arange(0.30, 0.96, 0.05)  # of CKA, between the inside of a run and its surroundings


@dataclass(frozen=True)
class Contrast:
    """How sharply a run ends.

    Attributes:
        drop: how much less a layer outside resembles those inside than layers inside resemble one another at the same
            distance, on average: of that one of the next 2 layers (15% of all, if that is more) where it is most, at
            the end where it is least. NaN for a run of all layers.
        sharp: the same over the next 2 layers (5% of all, if that is more).
        times: what is missing to a CKA of 1 across the end, as a multiple of what is missing inside at the same
            distance, at the end where that is least. NaN for a run of all layers.
        ends: at how many ends there are layers around, 0 to 2.
    """

    drop: float
    sharp: float
    times: float
    ends: int

    @property
    def set_off(self) -> bool:
        """Whether the run is set off from layers around it."""
        return self.drop >= MIN_CONTRAST and self.sharpness >= MIN_SHARPNESS

    @property
    def sharpness(self) -> float:
        """The drop times how many times what distance brings it is: the smaller a drop, the less may fall inside."""
        return self.drop * self.times


@dataclass(frozen=True)
class SimilarRun:
    """A contiguous run of layers that are alike.

    Attributes:
        start: position of the first layer.
        stop: position after the last.
        similarity: the 10% quantile of CKA between two of its layers.
        edges: how sharply it ends.
    """

    start: int
    stop: int
    similarity: float
    edges: Contrast

    @property
    def contrast(self) -> float:
        """`edges.drop`."""
        return self.edges.drop

    def __len__(self) -> int:
        return self.stop - self.start


def shortest_run(layers: int) -> int:
    """The fewest layers that make a run: 3, and 15% of all.

    Example:
        >>> shortest_run(12), shortest_run(40)
        (3, 6)
    """
    return max(MIN_LAYERS, math.ceil(round(MIN_FRACTION * layers, 9)))


def similar_runs(matrix: Floats) -> list[SimilarRun]:
    """All runs that are alike, and set off or without surroundings; they may overlap. Longest first.

    Args:
        matrix: (layers, layers) CKA. Layers without a finite entry off the diagonal are passed over: they may lie
            inside a run, and do not count towards its length.

    Example:
        >>> matrix = np.full((10, 10), 0.2); matrix[3:8, 3:8] = 0.9; np.fill_diagonal(matrix, 1)
        >>> [(run.start, run.stop) for run in similar_runs(matrix)]
        [(3, 8)]
    """
    return [run for run in alike_runs(matrix) if run.edges.set_off or not run.edges.ends]


def alike_runs(matrix: Floats) -> list[SimilarRun]:
    """All runs that are alike, set off or not; they may overlap. Longest first.

    Args:
        matrix: as for `similar_runs`.
    """
    alive = np.flatnonzero(np.isfinite(matrix).sum(axis=1) > 1)
    values = matrix[np.ix_(alive, alive)]
    shortest = shortest_run(len(alive))
    if len(alive) < shortest:
        return []
    ends = {(0, len(alive))}
    pairs, total = _pair_sums(np.where(np.isfinite(values), values, 0.0))
    for level in _LEVELS:
        ends.update(_heaviest(total - level * pairs, 0, len(alive), shortest))
    runs = [
        SimilarRun(int(alive[i]), int(alive[j - 1]) + 1, low_quantile(values[i:j, i:j]), contrast(values, i, j))
        for i, j in ends
        if _belong(values, i, j)
    ]
    return sorted(runs, key=lambda run: (-len(run), run.start))


def _belong(values: Floats, i: int, j: int) -> bool:
    """Whether the layers of [i, j) are alike on average, and the first and the last as like the others as that."""
    means = (values[i, i + 1 : j], values[j - 1, i : j - 1], off_diagonal(values[i:j, i:j]))
    return bool(min(part.mean() for part in means) >= MIN_SIMILARITY)


def low_quantile(square: Floats) -> float:
    """The 10% quantile of the entries off the diagonal; NaN where all are."""
    values = off_diagonal(square)
    values = values[np.isfinite(values)]
    return float(np.quantile(values, LOW_QUANTILE)) if values.size else math.nan


def off_diagonal(square: Floats) -> Floats:
    """The entries above the diagonal."""
    return np.asarray(square[np.triu_indices(len(square), 1)])


def _pair_sums(values: Floats) -> tuple[Floats, Floats]:
    """Number of pairs, and sum of entries over pairs, of every run [i, j): (layers + 1, layers + 1) each."""
    size = len(values)
    table = np.zeros((size + 1, size + 1))
    table[1:, 1:] = np.triu(values, 1).cumsum(0).cumsum(1)
    corner = np.diagonal(table)
    # Above the diagonal nothing lies left of i or below j, so the square [i, j) is D_jj - D_ij.
    total = corner[None, :] - table
    lengths = np.arange(size + 1)[None, :] - np.arange(size + 1)[:, None]
    return np.where(lengths > 0, lengths * (lengths - 1) / 2, 0), total


def _heaviest(score: Floats, first: int, last: int, shortest: int) -> Iterator[tuple[int, int]]:
    """The run within [first, last) with the largest positive score, then those left and right of it."""
    if last - first < shortest:
        return
    window = np.triu(np.ones((last - first + 1,) * 2, dtype=bool), shortest)
    inside = np.where(window, score[first : last + 1, first : last + 1], -np.inf)
    i, j = np.unravel_index(int(inside.argmax()), inside.shape)
    if not inside[i, j] > 0:
        return
    start, stop = first + int(i), first + int(j)
    yield start, stop
    yield from _heaviest(score, first, start, shortest)
    yield from _heaviest(score, stop, last, shortest)


def edge_width(layers: int, fraction: float = EDGE_FRACTION) -> int:
    """Over how many layers outside of a run similarity may drop."""
    return max(EDGE_LAYERS, math.ceil(round(fraction * layers, 9)))


def contrast(values: Floats, i: int, j: int, layers: int | None = None) -> Contrast:
    """How sharply the run [i, j) ends.

    Args:
        values: (layers, layers) CKA, finite.
        i: position of the first layer.
        j: position after the last.
        layers: of the whole network, where `values` holds a part of it.
    """
    whole = len(values) if layers is None else layers
    wide, narrow = edge_width(whole), edge_width(whole, SHARP_FRACTION)
    sides = []
    if i > 0:
        sides.append(_edges(values[:j, :j], j - i, wide))
    if j < len(values):
        sides.append(_edges(values[i:, i:][::-1, ::-1], j - i, wide))
    if not sides:
        return Contrast(math.nan, math.nan, math.nan, 0)
    widest = [max(edges) for edges in sides]
    return Contrast(
        drop=min(drop for drop, _ in widest),
        sharp=min(max(edges[:narrow])[0] for edges in sides),
        times=min(times for _, times in widest),
        ends=len(sides),
    )


def _edges(values: Floats, length: int, width: int) -> list[tuple[float, float]]:
    """From the last `length` of these layers to each of the `width` before them: the drop, and how many times."""
    size = len(values)
    start = size - length
    inside = values[start:, start:]
    at_distance = [float(np.diagonal(inside, d).mean()) for d in range(length)]
    edges = []
    for offset in range(1, min(width, start, length - 1) + 1):
        within = float(np.mean(at_distance[offset:]))
        across = float(np.mean(values[start - offset, start : size - offset]))
        edges.append((within - across, (1 - across) / max(1 - within, _LEAST_MISSING)))
    return edges
