"""What two models predicted, example by example, and where they disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Disagreement:
    """An example for which two models predict different classes.

    Attributes:
        example_id: which example.
        label: its class index.
        prediction_a: the class index a predicts.
        prediction_b: the class index b predicts.
        confidence_a: the probability a gives its prediction; NaN where only classes were given.
        confidence_b: the same for b.
        right: `a`, `b` or `neither`.
        outside_a: the class of a's head where it lies outside the mapping, and a predicts `other`; else empty.
        outside_b: the same for b.
    """

    example_id: Any
    label: int
    prediction_a: int
    prediction_b: int
    confidence_a: float
    confidence_b: float
    right: str
    outside_a: str = ""
    outside_b: str = ""


@dataclass(frozen=True)
class Examples:
    """What two models predicted for each example, in the order given: every field has n values.

    `outside_a` and `outside_b` hold the class of the head where a prediction lies outside the model's mapping (and the
    prediction is `other`), else an empty text; None where there is no mapping.
    """

    example_id: list[Any]
    label: NDArray[np.int64]
    prediction_a: NDArray[np.int64]
    prediction_b: NDArray[np.int64]
    confidence_a: NDArray[np.float64]
    confidence_b: NDArray[np.float64]
    outside_a: list[str] | None = None
    outside_b: list[str] | None = None

    @property
    def same(self) -> NDArray[np.bool_]:
        """(n,) whether both predict the same class, also outside a mapping."""
        same = self.prediction_a == self.prediction_b
        if self.outside_a is not None and self.outside_b is not None:
            same &= np.array(self.outside_a, dtype=object) == np.array(self.outside_b, dtype=object)
        return np.asarray(same, dtype=bool)

    @property
    def right_a(self) -> NDArray[np.bool_]:
        """(n,) whether a is right."""
        return self.prediction_a == self.label

    @property
    def right_b(self) -> NDArray[np.bool_]:
        """(n,) whether b is right."""
        return self.prediction_b == self.label

    def to_frame(self) -> pd.DataFrame:
        """One row an example: id, label, both predictions and confidences, and whether each is right."""
        import pandas as pd

        columns = {name: getattr(self, name) for name in self.__dataclass_fields__ if getattr(self, name) is not None}
        return pd.DataFrame({**columns, "right_a": self.right_a, "right_b": self.right_b})
