"""The rows of the examples in the outputs of one model's layers: told on the first minibatch, kept for the run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from cka_plugin.capture.movement import CONSTANT, Reading, Sketch, judge, sketch
from cka_plugin.capture.outputs import Found, tensors

Slot: TypeAlias = tuple[int, int]  # a layer, and the number of its call within the forward pass
OUTPUT: Slot = (-1, 0)  # what the model as a whole returned


@dataclass(frozen=True)
class Taken:
    """One layer's activations, (n, ...), with the examples first.

    Attributes:
        x: their values; where an example had several rows, they are the second axis.
        reading: where they lay.
        found: as the module returned them.
    """

    x: Tensor
    reading: Reading
    found: Found


class Rows:
    """Where the rows of the examples lie in what each layer returns.

    Args:
        known: the adapter vouches that what its layers return holds the examples on the first axis, where that is as
            long as the minibatch. Then no second pass is needed, unless a layer returns something else.

    Attributes:
        readings: by layer and call.
        left_out: why no rows can be told, by layer and call.
        wanted: whether a pass with the examples in another order is wanted before the next one.
        random: whether the model draws random numbers, or computes in half precision.
    """

    def __init__(self, known: bool = False) -> None:
        self.known = known
        self.readings: dict[Slot, Reading] = {}
        self.left_out: dict[Slot, str] = {}
        self.wanted = not known
        self.random = False
        self._order: Tensor | None = None
        self._watching = False
        self._seen: dict[Slot, list[Sketch | None]] = {}
        self._moved: list[Tensor] = []  # whether what was constant so far is not any more, once values are looked at

    @contextlib.contextmanager
    def watching(self, order: Tensor) -> Iterator[None]:
        """Within it a pass runs with example `order[i]` in place i; outputs are noted, not taken."""
        self._order, self._watching, self._seen = order, True, {}
        try:
            yield
            self.wanted = False
        finally:
            self._watching = False

    def over(self) -> None:
        """The pass that was to be compared is done."""
        self._order, self._seen, self._moved = None, {}, []

    def note(self, slot: Slot, output: Any, n: int) -> bool:
        """Keep what is needed of an output while `watching`; whether that is so."""
        if self._watching and slot not in self.left_out:
            self._seen[slot] = [None if f.lengths is not None else sketch(f.x, n) for f in tensors(output)]
        return self._watching

    def take(self, slot: Slot, output: Any, n: int) -> Taken | str | None:
        """The activations of a layer with the examples first; why there are none; None where that is told later."""
        if slot in self.left_out:
            return self.left_out[slot]
        reading = self.readings.get(slot)
        if self._order is not None and (reading is None or not reading.settled):
            told = self._tell(slot, output, n)
            if isinstance(told, str):
                if reading is not None:  # it was constant so far, and has moved without the examples now
                    return told
                self.left_out[slot] = told
                return told
            reading = self.readings[slot] = told
        elif reading is None:
            first = next(tensors(output), None)
            if not self.known or first is None or first.lengths is not None or first.x.shape[0] != n:
                self.wanted = True
                return None
            reading = self.readings[slot] = Reading()
        return self._taken(slot, reading, output, n)

    def _taken(self, slot: Slot, reading: Reading, output: Any, n: int) -> Taken | str | None:
        found = next((f for number, f in enumerate(tensors(output)) if number == reading.tensor), None)
        if found is None:
            return "it returned fewer tensors than on the first minibatch"
        fitted = reading.fitted(found.x, n)
        if fitted is None:
            return (
                f"its output has shape {tuple(found.x.shape)} on a minibatch of {n} examples, but these were on "
                f"{reading.described()} on the first"
            )
        taken = Taken(fitted.take(found.x, n), fitted, found)
        if not reading.settled and self._order is None:
            self._moved.append(_varies(taken.x))
        return taken

    def look(self) -> None:
        """After a pass: a second one is wanted where the examples differ now in what was constant so far.

        Not as each layer runs: on a GPU every look at a value waits for all that was asked of it.
        """
        moved, self._moved = self._moved, []
        if moved:
            self.wanted |= bool(torch.stack([one.to(moved[0].device) for one in moved]).any())

    def _tell(self, slot: Slot, output: Any, n: int) -> Reading | str:
        """Where the examples' rows lie: in the first tensor that moves with them, or else in one that is constant."""
        assert self._order is not None
        now = list(tensors(output))
        if not now:
            return f"it returned no floating tensor: {type(output).__name__}"
        before = self._seen.get(slot)
        if before is None:
            return "it did not run when the same examples came in another order"
        told: list[Reading | str] = []
        for number, found in enumerate(now):
            if found.lengths is not None:
                reading: Reading | str = Reading()
            else:
                noted = before[number] if number < len(before) else None
                if noted is None:
                    reading = "it returned other tensors when the same examples came in another order"
                else:
                    reading = judge(sketch(found.x, n), noted, self._order, self.random)
            if isinstance(reading, Reading):
                reading = Reading(number, reading.axis, reading.outer, reading.inner, reading.settled)
                if reading.settled:
                    return reading
            told.append(reading)
        return next((reading for reading in told if isinstance(reading, Reading)), told[0])


def _varies(x: Tensor) -> Tensor:
    """Whether examples differ by more than rounding, a bool without axes. x: (n, ...)."""
    rows = x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    rows = torch.nan_to_num(rows.double(), 0.0, 0.0, 0.0)
    return (rows - rows[:1]).square().sum() > CONSTANT * rows.square().sum()
