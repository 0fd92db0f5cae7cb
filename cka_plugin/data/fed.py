"""Which members of the examples go to a model, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from cka_plugin.data.content import Key, Member


@dataclass
class Fed:
    """Which members go to a model, and how.

    Attributes:
        raw: to be prepared, in this order.
        placed: by place.
        named: by name of the argument.
        whole: the minibatch as it was given.
        left: not used.
    """

    raw: list[Member] = field(default_factory=list)
    placed: list[Member] = field(default_factory=list)
    named: dict[str, Member] = field(default_factory=dict)
    whole: bool = False
    left: list[Member] = field(default_factory=list)

    @property
    def used(self) -> list[Key]:
        """Names and places of what the model gets."""
        return [member.key for member in (*self.raw, *self.placed, *self.named.values())]
