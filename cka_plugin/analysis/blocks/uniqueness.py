"""Are the blocks of two models alike? Between seeds and architectures they usually are not; the layers outside are.

Source: Nguyen, Raghu & Kornblith 2021 (arXiv 2010.15327), section 5: layers outside the block structure match those of
another model at equal relative depth, layers inside it resemble nothing in the other model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.blocks.detector import Block, BlockStructure
from cka_plugin.analysis.blocks.runs import off_diagonal
from cka_plugin.core import Floats
from cka_plugin.tables import Result, text_table

ALIKE = 0.5  # CKA between two blocks, as a part of that within the less coherent of them


@dataclass(frozen=True)
class BlockPair:
    """A block of one model beside a block of the other.

    Attributes:
        layers_a: first and last layer of the block of `a`.
        layers_b: of the block of `b`.
        within_a: mean CKA of two layers of the block of `a`.
        within_b: of the block of `b`.
        between: mean CKA of a layer of one and a layer of the other.
        first_component_cosine: mean squared cosine of first components of one and the other; NaN where not given.
        alike: whether `between` reaches half of the smaller of the two within.
    """

    layers_a: tuple[str, str]
    layers_b: tuple[str, str]
    within_a: float
    within_b: float
    between: float
    first_component_cosine: float
    alike: bool


@dataclass(frozen=True, repr=False)
class BlockUniqueness(Result):
    """The blocks of two models, pair by pair.

    Attributes:
        pairs: every block of `a` with every block of `b`.
        outside: mean CKA, at equal relative depth, of layers outside the blocks of either model; NaN without such.
        reason: one sentence.
    """

    pairs: list[BlockPair]
    outside: float
    reason: str

    @property
    def alike(self) -> bool:
        """Whether any two blocks are alike."""
        return any(pair.alike for pair in self.pairs)

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a pair of blocks."""
        return self.pairs, BlockPair

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-safe."""
        return super().to_dict() | {"alike": self.alike}

    def __repr__(self) -> str:
        header = ["block of a", "block of b", "within a", "within b", "between", "PC1 cos²", "alike"]
        rows = [
            (
                " .. ".join(pair.layers_a),
                " .. ".join(pair.layers_b),
                pair.within_a,
                pair.within_b,
                pair.between,
                pair.first_component_cosine,
                pair.alike,
            )
            for pair in self.pairs
        ]
        return "\n".join([self.reason] + ([text_table(rows, header)] if rows else []))


def compare_blocks(
    a: BlockStructure,
    b: BlockStructure,
    matrix: npt.ArrayLike,
    cosine: npt.ArrayLike | None = None,
    depths: tuple[Sequence[float], Sequence[float]] | None = None,
) -> BlockUniqueness:
    """Compare the blocks of two models on the same examples.

    Args:
        a: block structure of the first model.
        b: of the second.
        matrix: (layers of a, layers of b) CKA.
        cosine: (layers of a, layers of b) squared cosines of first components (`squared_cosines`), or None.
        depths: relative depths of the layers of a and of b, in [0, 1]. Default: spread evenly.

    Raises:
        ValueError: a matrix of another shape.
    """
    values = np.asarray(matrix, dtype=np.float64)
    shape = (len(a.layers), len(b.layers))
    cosines = np.full(shape, np.nan) if cosine is None else np.asarray(cosine, dtype=np.float64)
    if values.shape != shape or cosines.shape != shape:
        raise ValueError(
            f"matrix {values.shape} and cosine {cosines.shape}: expected {shape}, layers of a by layers of b"
        )
    pairs = [_pair(a, p, b, q, values, cosines) for p in a.blocks for q in b.blocks]
    depth_a, depth_b = depths or (np.linspace(0, 1, shape[0]), np.linspace(0, 1, shape[1]))
    outside = _outside(a, b, values, np.asarray(depth_a), np.asarray(depth_b))
    return BlockUniqueness(pairs, outside, _reason(a, b, pairs, outside))


def _pair(a: BlockStructure, p: Block, b: BlockStructure, q: Block, values: Floats, cosines: Floats) -> BlockPair:
    rows, columns = slice(p.start, p.stop), slice(q.start, q.stop)
    within_a = float(np.nanmean(off_diagonal(a.matrix[rows, rows])))
    within_b = float(np.nanmean(off_diagonal(b.matrix[columns, columns])))
    between = float(np.nanmean(values[rows, columns]))
    part = cosines[rows, columns]
    return BlockPair(
        layers_a=(p.layers[0], p.layers[-1]),
        layers_b=(q.layers[0], q.layers[-1]),
        within_a=within_a,
        within_b=within_b,
        between=between,
        first_component_cosine=float(np.nanmean(part)) if np.isfinite(part).any() else float("nan"),
        alike=between >= ALIKE * min(within_a, within_b),
    )


def _outside(a: BlockStructure, b: BlockStructure, values: Floats, depth_a: Floats, depth_b: Floats) -> float:
    free_a, free_b = _free(a), _free(b)
    found = []
    for layer in np.flatnonzero(free_a):
        nearest = int(np.abs(depth_b - depth_a[layer]).argmin())
        if free_b[nearest] and np.isfinite(values[layer, nearest]):
            found.append(values[layer, nearest])
    return float(np.mean(found)) if found else float("nan")


def _free(structure: BlockStructure) -> npt.NDArray[np.bool_]:
    free = np.ones(len(structure.layers), dtype=bool)
    for block in structure.blocks:
        free[block.start : block.stop] = False
    return free


def _reason(a: BlockStructure, b: BlockStructure, pairs: Sequence[BlockPair], outside: float) -> str:
    if not pairs:
        without = "Neither model has" if not a.blocks and not b.blocks else "Only one of the models has"
        return f"{without} a block to compare."
    nearest = max(pairs, key=lambda pair: pair.between)
    comparison = "" if np.isnan(outside) else f"; outside the blocks, at equal depth, it is {outside:.2f}"
    alike = "alike" if any(pair.alike for pair in pairs) else f"unlike: less than {ALIKE:.0%} as similar as within"
    return (
        f"The blocks of the two models are {alike} (mean CKA between the most similar two {nearest.between:.2f}, "
        f"within them {nearest.within_a:.2f} and {nearest.within_b:.2f}{comparison})."
    )
