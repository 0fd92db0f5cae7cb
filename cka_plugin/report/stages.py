"""Where one stage of a network ends and the next begins, by the names of its layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

_MOST_LINES = 16  # more would be a grid of their own
_STAGE = re.compile(r"(?:|.*?\.)(?:stages\.\d+|blocks(?=\.))")


class NamedLayer(Protocol):
    """What is asked of a layer: its name and its relative depth in [0, 1]."""

    @property
    def name(self) -> str:
        """Common name."""

    @property
    def depth(self) -> float:
        """Relative depth."""


def stage_of(name: str) -> str:
    """The stage, or the tower's run of blocks, that a layer belongs to; else the first part of its name.

    Example:
        >>> stage_of("stages.2.blocks.0.conv1"), stage_of("text.blocks.3"), stage_of("head")
        ('stages.2', 'text.blocks', 'head')
    """
    found = _STAGE.match(name)
    return found[0] if found else name.partition(".")[0]


def stage_starts(names: Sequence[str]) -> list[int]:
    """Positions at which a stage begins: where its neighbour is of another, and one of the two has several layers.

    Example:
        >>> stage_starts(["stem", "stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0", "head"])
        [1, 3]
    """
    stages = [stage_of(name) for name in names]
    if not stages:
        return []
    runs = [place for place in range(len(stages)) if place == 0 or stages[place] != stages[place - 1]]
    lengths = [stop - start for start, stop in zip(runs, [*runs[1:], len(stages)], strict=True)]
    starts = [runs[i] for i in range(1, len(runs)) if max(lengths[i], lengths[i - 1]) > 1]
    return starts if len(starts) <= _MOST_LINES else []
