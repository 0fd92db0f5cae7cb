"""A layer of a regression check, as pictures and sentences take it; apart from them: it needs no library of plots."""

from __future__ import annotations

from typing import Protocol


class CheckedLayer(Protocol):
    """What is drawn of a layer; `cka` is NaN where it is undefined, `low` and `high` where there is no interval."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def depth(self) -> float:
        """Its relative depth."""

    @property
    def cka(self) -> float:
        """CKA with the same layer of the baseline."""

    @property
    def low(self) -> float:
        """Lower limit of its interval."""

    @property
    def high(self) -> float:
        """Upper limit."""

    @property
    def threshold(self) -> float:
        """The lowest CKA that passes."""

    @property
    def passed(self) -> bool:
        """Whether it does."""
