"""Common names: to which tower of a network they belong, and how far along it they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cka_plugin.adapters.layer import Layer

_TRUNK = re.compile(r"^(stem|embed|stages|blocks|norm|head|pool|downsample)\b")
_NUMBERED = re.compile(r"(^|\.)(stages|blocks)\.\d")


def spread_depths(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers with depths spread evenly over [0, 1] by position, each tower (`vision.`, `decoder.`) on its own.

    The trunk (a common stem, the head) is spread over the positions of all layers, so that a head is always at 1.

    Example:
        >>> [l.depth for l in spread_depths([Layer(n, n, "module", 0) for n in "abc"])]
        [0.0, 0.5, 1.0]
        >>> two = ["text.blocks.0", "text.blocks.1", "vision.blocks.0", "vision.blocks.1", "head"]
        >>> [l.depth for l in spread_depths([Layer(n, n, "module", 0) for n in two])]
        [0.0, 1.0, 0.0, 1.0, 1.0]
    """
    towers = {tower(layer.name) for layer in layers if _NUMBERED.search(layer.name)}
    sides = [side if side in towers else "" for side in (tower(layer.name) for layer in layers)]
    members = {side: [i for i, other in enumerate(sides) if other == side or not side] for side in set(sides)}
    places = {(side, i): place for side, all_of_it in members.items() for place, i in enumerate(all_of_it)}
    return [
        Layer(layer.name, layer.path, layer.kind, places[side, i] / max(len(members[side]) - 1, 1))
        for i, (layer, side) in enumerate(zip(layers, sides, strict=True))
    ]


def tower(name: str) -> str:
    """The tower that a common name belongs to: what stands before the first word of the vocabulary; "" for the trunk.

    Example:
        >>> tower("vision.blocks.3"), tower("stages.0.blocks.1"), tower("head")
        ('vision', '', '')
        >>> tower("encoder.layers.3.norm")  # a path: what is numbered is inside a tower, not one
        ''
    """
    if _TRUNK.match(name):
        return ""
    parts = name.split(".")
    for position, part in enumerate(parts):
        if part.isdigit():
            return ""
        if position and _TRUNK.match(part):
            return ".".join(parts[:position])
    return ""


__all__ = ["spread_depths", "tower"]
