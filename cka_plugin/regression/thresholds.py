"""Thresholds: the lowest CKA that each layer may show, from one number or a table."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from numbers import Real

from cka_plugin.adapters.base import KINDS, Layer
from cka_plugin.wording import listed

DEFAULT_MIN_CKA = 0.99
_DEPTH = re.compile(r"depth:\s*([0-9.]+)\s*-\s*([0-9.]+)")


def thresholds_of(min_cka: float | Mapping[str, float], layers: Sequence[Layer]) -> list[float]:
    """The threshold of each layer.

    A table is read from the special to the general, and within one of these by the last key that fits:

        "stages.3.blocks.1"         a layer's name, or its own path
        "stages.3.*"                a pattern of names or paths (`*`, `?`, `[...]`)
        "kind:norm", "norm"         a kind of layer (`stem embed block downsample norm pool head module`)
        "depth:0.5-1"               layers in this range of relative depth, both ends included
        "default"                   all others; 0.99 where it is not given

    Args:
        min_cka: one number for all layers, or a table.
        layers: the layers of the baseline.

    Raises:
        ValueError: a threshold that is no number up to 1, or a key that fits no layer (a typing error would
            switch the check off in silence).

    Example:
        >>> stem, head = Layer("stem", "conv1", "stem", 0.0), Layer("head", "fc", "head", 1.0)
        >>> layers = [stem, Layer("blocks.0", "b.0", "block", 0.5), head]
        >>> thresholds_of({"blocks.*": 0.9, "head": 0.999}, layers)
        [0.99, 0.9, 0.999]
        >>> thresholds_of({"depth:0-0.5": 0.95, "kind:stem": 0.98, "default": 0.8}, layers)
        [0.98, 0.95, 0.8]
    """
    if not isinstance(min_cka, Mapping):
        return [_number("min_cka", min_cka)] * len(layers)
    table = {str(key): _number(f"min_cka[{key!r}]", value) for key, value in min_cka.items()}
    default = table.pop("default", DEFAULT_MIN_CKA)
    chosen = [default] * len(layers)
    rank = [-1] * len(layers)
    for key, value in table.items():
        fitting = {position: how for position, layer in enumerate(layers) if (how := _fit(key, layer)) is not None}
        if not fitting:
            raise ValueError(_unknown(key, layers))
        for position, how in fitting.items():
            if how >= rank[position]:
                chosen[position], rank[position] = value, how
    return chosen


def check_noise(thresholds: Sequence[float], layers: Sequence[Layer], floor: Callable[[str], float]) -> None:
    """Raise where rounding alone can miss a threshold, which would be a coin flip.

    Args:
        thresholds: one a layer.
        layers: of the baseline.
        floor: of a layer's name: 1 - CKA that an unchanged layer may show.

    Raises:
        ValueError: a threshold above 1 - floor; the message says the highest one that may be given.
    """
    for layer, threshold in zip(layers, thresholds, strict=True):
        highest = 1.0 - floor(layer.name)
        if threshold > highest:
            digits = max(2, math.ceil(-math.log10(1.0 - highest)))
            usable = math.floor(highest * 10**digits) / 10**digits
            raise ValueError(
                f"min_cka {threshold:g} for layer {layer.name} lies within the noise of the baseline: rounding on"
                f" another machine alone may give {highest:.{digits + 1}f}; give at most {usable:g}"
            )


def _fit(key: str, layer: Layer) -> int | None:
    """How specially a key fits a layer: 3 by name, 2 by pattern, 1 by kind, 0 by depth; None where it does not."""
    if key in (layer.name, layer.path):
        return 3
    depth = _DEPTH.fullmatch(key)
    if depth is not None:
        return 0 if float(depth[1]) <= layer.depth <= float(depth[2]) else None
    if key.removeprefix("kind:") in KINDS:
        return 1 if key.removeprefix("kind:") == layer.kind else None
    return 2 if fnmatchcase(layer.name, key) or fnmatchcase(layer.path, key) else None


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not -1.0 <= float(value) <= 1.0:
        raise ValueError(f"{what} = {value!r}: expected a lowest CKA, a number of at most 1, such as 0.99")
    return float(value)


def _unknown(key: str, layers: Sequence[Layer]) -> str:
    near = difflib.get_close_matches(key, [layer.name for layer in layers], 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"min_cka[{key!r}] fits no layer: {hint}The baseline has {listed([layer.name for layer in layers])}"
