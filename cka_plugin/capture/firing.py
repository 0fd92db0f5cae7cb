"""Which layers a model has run, and in which order: settled on the first minibatch, the same on every other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cka_plugin.adapters.base import Layer, spread_depths, tower
from cka_plugin.capture.rows import Slot


class CaptureError(RuntimeError):
    """A model's layers could not be read."""


def settled(
    name: str, candidates: Sequence[Layer], slots: list[Slot], discover: bool, required: Collection[str] = ()
) -> tuple[list[Slot], list[Layer]]:
    """The layers there are, after the first minibatch: which call of which candidate each is, and under which name.

    Args:
        name: the model's.
        candidates: the layers that were looked for.
        slots: what ran, in that order.
        discover: those that did not run are left out, and the order is that of running; otherwise all must, as listed.
        required: paths that must run, whatever `discover` says.

    Raises:
        CaptureError: none ran, or not as listed.
    """
    fired = {position for position, _ in slots}
    silent = [layer for position, layer in enumerate(candidates) if position not in fired]
    if not fired:
        paths = ", ".join(layer.path for layer in candidates[:3]) or "none was listed"
        raise CaptureError(
            f"none of the layers of {name} ran ({paths}{', ...' if len(candidates) > 3 else ''}): containers such as "
            "ModuleList never do, and what its forward does not call"
        )
    if unheard := [layer.name for layer in silent if layer.path in required]:
        raise CaptureError(f"layers {', '.join(unheard)} of {name} were asked for and did not run on this input")
    if not discover and silent:
        towers_run = {tower(candidates[position].name) for position in fired}
        lost = [layer for layer in silent if tower(layer.name) in towers_run or not tower(layer.name)]
        # A tower without inputs (the text tower of CLIP on images alone) stays out as a whole.
        if lost:
            raise CaptureError(
                f"layers {', '.join(l.name for l in lost)} of {name} did not run on this input; give "
                "granularity='module' to compare whatever runs"
            )
    if not discover:
        _check_order(name, candidates, slots)
        if len(fired) == len(slots):  # a module called many times: the order of the calls is the order of the layers
            slots = sorted(slots)
    named = [
        Layer(l.name if call == 0 else f"{l.name}@{call}", l.path, l.kind, l.depth)
        for l, call in ((candidates[position], call) for position, call in slots)
    ]
    repeated = any(call for _, call in slots)
    as_listed = [position for position, _ in slots] == list(range(len(candidates)))
    return slots, named if as_listed or not (discover or repeated) else spread_depths(named)


def _check_order(name: str, candidates: Sequence[Layer], slots: list[Slot]) -> None:
    last: dict[str, int] = {}
    for position, call in slots:
        if call:
            continue
        layer = candidates[position]
        side = tower(layer.name)
        if position < last.get(side, -1):
            raise CaptureError(
                f"{name} runs {layer.name!r} after {candidates[last[side]].name!r}, against the order of its layer "
                "list: give granularity='module' to compare whatever runs, and report the model"
            )
        last[side] = position
