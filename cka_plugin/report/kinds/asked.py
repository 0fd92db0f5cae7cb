"""What is asked of a comparison for a picture, and which of its models are meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from cka_plugin.core import Floats
from cka_plugin.report.plots.frame import Frame
from cka_plugin.representation import Representation
from cka_plugin.wording import listed

if TYPE_CHECKING:
    from cka_plugin.analysis.blocks.result import BlockStructure
    from cka_plugin.analysis.correspondence import Correspondence
    from cka_plugin.analysis.errors.agreement import ErrorMatrices
    from cka_plugin.analysis.errors.result import ErrorComparison
    from cka_plugin.analysis.examples.result import ExampleComparison
    from cka_plugin.analysis.families.summary import Summary
    from cka_plugin.analysis.levels.chance import ChanceLevel
    from cka_plugin.analysis.levels.result import Levels


Given = tuple[str | None, str | None]  # the two models that were named


class Results(Protocol):
    """What pictures are drawn from: the methods of `Comparison` of these names."""

    data: Any  # that it was made on; None of a file
    estimator: str

    @property
    def names(self) -> list[str]:
        """Of the models."""

    @property
    def setting(self) -> str:
        """Which CKA, on how many examples: the title of what shows CKA."""

    def __getitem__(self, name: str, /) -> Representation: ...

    def layers(self, name: str) -> Any: ...

    def family(self, name: str) -> str | None: ...

    def pair(self, a: str | None, b: str | None) -> tuple[str, str]: ...

    def matrix(self, a: str | None = None, b: str | None = None, measure: str = "cka") -> Floats: ...

    def interval(self, a: str | None = None, b: str | None = None) -> tuple[Floats, Floats]: ...

    def correspondence(self, a: str | None = None, b: str | None = None) -> Correspondence: ...

    def models(self) -> Floats: ...

    def chance(self, a: str | None = None, b: str | None = None, draws: int = 199) -> ChanceLevel: ...

    def levels(self, a: str | None = None, b: str | None = None, *, draws: int = 199) -> Levels: ...

    def block_structure(self, name: str | None = None) -> BlockStructure: ...

    def errors(
        self, a: str | None = None, b: str | None = None, *, mapping: Any = None, restrict: bool = False
    ) -> ErrorComparison: ...

    def error_matrices(self, *, mapping: Any = None, restrict: bool = False) -> ErrorMatrices: ...

    def examples(self, a: str | None = None, b: str | None = None, *, draws: int = 20) -> ExampleComparison: ...

    def summary(self, factors: Any = None) -> Summary: ...


def one_of(results: Results, models: Given, kind: str) -> str:
    """The one model that a picture is of."""
    a, b = models
    if b is not None:
        raise ValueError(f"{kind!r} is a picture of one model: given {a!r} and {b!r}")
    if a is None and len(results.names) > 1:
        raise ValueError(f"{kind!r} is a picture of one model: say which, of {listed(results.names)}")
    return results.names[0] if a is None else a


def two_of(results: Results, models: Given, kind: str) -> tuple[str, str]:
    """The two different models that a picture is of."""
    a, b = results.pair(*models)
    if a == b:
        raise ValueError(f"{kind!r} is a picture of two models: given {a!r} alone")
    return a, b


def all_of(results: Results, models: Given, kind: str) -> list[str]:
    """All models, of which none may be named."""
    if models != (None, None):
        raise ValueError(f"{kind!r} is a picture of all models, not of one or two: leave their names out")
    return results.names


def unless_titled(results: Results, frame: Frame, said: str) -> Frame:
    """Another title where none was given: the figure is not of CKA."""
    return replace(frame, title=said) if frame.title == results.setting else frame
