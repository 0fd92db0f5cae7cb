"""What a check asks of a model, in one place: the thresholds of its layers and the limits of its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cka_plugin.regression.thresholds import DEFAULT_MIN_CKA

MIN_CLASS_LOSS = 2  # a class of few examples drops far when one of them changes sides


@dataclass(frozen=True)
class Limits:
    """What a check asks of a model; None judges nothing.

    Attributes:
        min_cka: the lowest CKA a layer may show: one number, or a table (see `thresholds.thresholds_of`).
        max_accuracy_drop: how much accuracy may be lost.
        max_class_drop: how much accuracy a single class may lose, where it loses at least 2 examples.
        max_churn: which share of predictions may change.
        block_structure: whether a block structure that the baseline has not is a failure.

    Raises:
        ValueError: a limit that is no share from 0 to 1.

    Example:
        >>> Limits(max_churn=None).max_accuracy_drop
        0.01
        >>> Limits(max_churn=5)
        Traceback (most recent call last):
        ...
        ValueError: max_churn = 5: expected a share from 0 to 1, or None not to judge it
    """

    min_cka: float | Mapping[str, float] = DEFAULT_MIN_CKA
    max_accuracy_drop: float | None = 0.01
    max_class_drop: float | None = 0.1
    max_churn: float | None = 0.05
    block_structure: bool = True

    @property
    def on_accuracy(self) -> bool:
        """Whether a limit needs labels."""
        return self.max_accuracy_drop is not None or self.max_class_drop is not None

    @property
    def on_predictions(self) -> bool:
        """Whether a limit needs predictions."""
        return self.on_accuracy or self.max_churn is not None

    def __post_init__(self) -> None:
        for name in ("max_accuracy_drop", "max_class_drop", "max_churn"):
            limit = getattr(self, name)
            if limit is not None and not 0.0 <= limit <= 1.0:
                raise ValueError(f"{name} = {limit!r}: expected a share from 0 to 1, or None not to judge it")


# The two states are compared, and whatever comes out is accepted.
NOTHING_ASKED = Limits(0.0, max_accuracy_drop=None, max_class_drop=None, max_churn=None, block_structure=False)
