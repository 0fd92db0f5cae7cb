"""What the page asks of a comparison; `cka_plugin.Comparison` answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from cka_plugin.adapters.base import Layer
from cka_plugin.core import Floats
from cka_plugin.representation import Representation


class Compared(Protocol):
    """Models whose representations were compared; see `cka_plugin.Comparison` for what the methods give."""

    estimator: str

    @property
    def sketched(self) -> str:
        """What is said of sketches; empty of whole Gram matrices."""

    @property
    def names(self) -> list[str]:
        """Of the models."""

    def __getitem__(self, name: str) -> Representation:
        """The representation of a model."""

    def layers(self, name: str) -> list[Layer]:
        """The layers of a model."""

    def family(self, name: str) -> str | None:
        """The family of a model."""

    def families(self) -> Any:
        """Which lie together."""

    def accuracies(self, names: Sequence[str] | None = None) -> dict[str, float | None]:
        """Of the models."""

    def matrix(self, a: str, b: str) -> Floats:
        """CKA of the layers of two models."""

    def interval(self, a: str, b: str) -> tuple[Floats, Floats]:
        """Of each CKA."""

    def models(self) -> Floats:
        """Similarity of whole models."""

    def correspondence(self, a: str, b: str) -> Any:
        """Best matches."""

    def calibrated(self, a: str, b: str, draws: int = 199) -> Any:
        """CKA above chance."""

    def levels(self, a: str, b: str, *, draws: int = 199, data: Any = None) -> Any:
        """What the similarity of two models is held against."""

    def block_structure(self, name: str) -> Any:
        """Of a model."""

    def compare_blocks(self, a: str, b: str) -> Any:
        """Of two models."""

    def errors(self, a: str, b: str, *, mapping: Any = None, restrict: bool = False) -> Any:
        """Mistakes of two models."""

    def agreement(self, a: str, b: str, *, mapping: Any = None) -> Any:
        """Of predictions."""

    def examples(self, a: str, b: str) -> Any:
        """Placed differently."""

    def similarity_and_errors(self) -> Any:
        """Do models that represent alike err alike?"""
