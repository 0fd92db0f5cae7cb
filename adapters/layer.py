"""A place in a network under its common name, the same for the same place in every framework."""

from __future__ import annotations

import math
from dataclasses import dataclass

KINDS = ("stem", "embed", "block", "downsample", "norm", "pool", "head", "module")
GRANULARITIES = ("stage", "block", "module")


@dataclass(frozen=True)
class Layer:
    """A place in a network, under its common name.

    Attributes:
        name: the common name, such as `stages.2.blocks.0`; the same for the same place in every framework.
        path: the module's own path: `model.get_submodule(path)` is the module whose output is compared.
        kind: one of `stem embed block downsample norm pool head module`.
        depth: relative depth in [0, 1], non-decreasing along the network (within each tower).

    Example:
        >>> Layer("stages.0.blocks.1", "layer1.1", "block", 0.25).path
        'layer1.1'
    """

    name: str
    path: str
    kind: str
    depth: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"layer kind {self.kind!r} of {self.name!r}: expected one of {', '.join(KINDS)}")
        if not (math.isfinite(self.depth) and 0.0 <= self.depth <= 1.0):
            raise ValueError(f"depth {self.depth!r} of layer {self.name!r}: expected a number in [0, 1]")


__all__ = ["GRANULARITIES", "KINDS", "Layer"]
