"""Layers of one kind, where what is inside of blocks is listed too.

Among all modules of a network the heatmap is a checkerboard: the outputs of blocks resemble one another more than they
resemble convolutions and norms inside (Nguyen et al. 2021, figure 1), so that no run of neighbours is alike. A run is
looked for among the layers of one kind, one a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cka_plugin.core import Floats

_IN_BLOCK = re.compile(r"^((?:.*\.)?blocks\.\d+)\.(.+)$")
MIN_PER_BLOCK = 2  # modules of a block, for there to be an inside
MIN_BLOCKS = 3  # the shortest run


@dataclass(frozen=True)
class OneKind:
    """The layers that are judged together.

    Attributes:
        kind: what they are called within their block, such as `act2`.
        positions: of these layers, and of those that are in no block.
    """

    kind: str
    positions: npt.NDArray[np.int64]


def layers_of_one_kind(names: Sequence[str], matrix: Floats) -> OneKind | None:
    """The modules of one name in every block, and what lies between blocks; None where blocks are not opened up.

    Of the names that most blocks have, the one whose layers resemble the same of the next block most: that is where a
    residual network carries its representation on (after the addition, or the norm that reads it). The later in the
    block where two are equal.

    Args:
        names: of the layers, in order.
        matrix: (layers, layers) CKA.

    Example:
        >>> names = ["stem"] + [f"blocks.{i}.{part}" for i in range(3) for part in ("conv", "act")] + ["head"]
        >>> alike = np.array([name.endswith("act") for name in names])
        >>> found = layers_of_one_kind(names, np.where(alike[:, None] & alike, 0.9, 0.3))
        >>> found.kind, found.positions.tolist()
        ('act', [0, 2, 4, 6, 7])
    """
    inside = [(position, _IN_BLOCK.match(name)) for position, name in enumerate(names)]
    places: dict[str, list[int]] = {}
    blocks = set()
    for position, found in inside:
        if found is not None:
            blocks.add(found[1])
            places.setdefault(found[2], []).append(position)
    opened = sum(len(part) for part in places.values())
    if len(blocks) < MIN_BLOCKS or opened < MIN_PER_BLOCK * len(blocks):
        return None
    most = max(len(part) for part in places.values())
    candidates = [(_carried_on(matrix, part), part[0], kind) for kind, part in places.items() if len(part) == most]
    kind = max(candidates)[2]
    outside = {position for position, found in inside if found is None}
    beside = [position for position in outside if position + 1 not in outside]  # what a stem of several hands on
    return OneKind(kind, np.array(sorted([*places[kind], *beside]), dtype=np.int64))


def _carried_on(matrix: Floats, positions: Sequence[int]) -> float:
    """Mean CKA of each layer with the next of its kind."""
    values = matrix[positions[:-1], positions[1:]]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else -np.inf
