"""One model that was checked, or could not be, for the command and its reports."""

from __future__ import annotations

from dataclasses import dataclass

from cka_plugin.regression.result import CheckResult
from cka_plugin.wording import for_terminal


@dataclass(frozen=True)
class CheckRun:
    """One model that was checked, or could not be.

    Attributes:
        name: of the model.
        result: None where it could not be judged.
        error: why not.
        seconds: how long it took.
        accept: how what the model computes now is accepted; empty where that would help nothing.
    """

    name: str
    result: CheckResult | None
    error: str = ""
    seconds: float = 0.0
    accept: str = ""

    def __str__(self) -> str:
        """What a person reads of it."""
        parts = [self.error if self.result is None else str(self.result), for_terminal(self.accept)]
        return ("\n\n" if self.result is not None else ". ").join(part for part in parts if part)
