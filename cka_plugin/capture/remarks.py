"""What is said of the layers of one model that are not read as they were returned, each thing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cka_plugin.adapters.base import Layer
from cka_plugin.capture.rows import OUTPUT, Slot
from cka_plugin.warnings import warn


class Remarks:
    """Warns of layers by their names.

    Args:
        name: the model's.
        candidates: its layers, by whose numbers slots go.
    """

    def __init__(self, name: str, candidates: Sequence[Layer]) -> None:
        self.name, self.candidates = name, candidates
        self._said: set[str] = set()

    def named(self, slot: Slot) -> str:
        """A call of a layer, with its path where that is another word."""
        layer, call = self.candidates[slot[0]], slot[1]
        name = layer.name + (f"@{call}" if call else "")
        return repr(name if layer.path in ("", name) else f"{name} ({layer.path})")

    def left_out(self, reasons: Mapping[Slot, str]) -> None:
        """Say what was left out, and why, those of one reason together."""
        together: dict[str, list[str]] = {}
        for slot, why in reasons.items():
            together.setdefault(why, []).append("its predictions" if slot == OUTPUT else self.named(slot))
        if together:
            self._say(
                f"left out of {self.name}", "; ".join(f"{', '.join(names)}: {why}" for why, names in together.items())
            )

    def complex(self, slots: Sequence[Slot]) -> None:
        """Say which activations were complex."""
        if slots:
            names = ", ".join(map(self.named, slots))
            how = "compared by the real part of their inner products, Re(X Xᴴ)"
            self._say(f"complex activations of {self.name}, {names}", how)

    def nothing(self, layer: Layer, why: str) -> None:
        """Say that a layer is NaN from some minibatch on."""
        self._say(f"layer {layer.name!r} of {self.name} is NaN", why)

    def late(self, slot: Slot) -> None:
        """Say that a layer has run which did not run on the first minibatch."""
        self._say(f"left out of {self.name}, {self.named(slot)}", "it did not run on the first minibatch")

    def _say(self, what: str, why: str) -> None:
        if what not in self._said:
            self._said.add(what)
            warn(f"{what}: {why}")
