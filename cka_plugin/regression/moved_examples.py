"""Which examples moved most where a check failed: where to look, beside which layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cka_plugin.analysis.examples.pointwise import mean_over_layers, pointwise_alignment
from cka_plugin.representation import Representation
from cka_plugin.wording import number

MOST = 20  # kept of all
SHOWN = 5  # said in a sentence
_LONGEST = 60  # characters of an id that are said: ids may be whole texts


@dataclass(frozen=True)
class MovedExample:
    """One example that a model places otherwise than its baseline.

    Attributes:
        example_id: its id.
        alignment: pointwise kernel alignment with the baseline, the mean over the layers that failed (where none did,
            that moved by more than rounding); 1: as before, 0: its similarities to the other examples have nothing in
            common with those before.
        lowest: the smallest over those layers.
        layer: where that is.
        label: name of its class; None without labels.
        before: class that the baseline predicts; None without predictions.
        now: class that the model predicts.
    """

    example_id: Any
    alignment: float
    lowest: float
    layer: str
    label: str | None = None
    before: str | None = None
    now: str | None = None

    def __str__(self) -> str:
        said = f"{_cut(str(self.example_id))}: {number(self.alignment, 2)}"
        if self.label is not None:
            said += f", of class {_cut(self.label)}"
        if self.before is not None and self.now is not None and self.before != self.now:
            said += f", predicted {_cut(self.now)}, was {_cut(self.before)}"
        return said


def moved_examples(
    reference: Representation, made: Representation, pairs: Sequence[tuple[int, int]]
) -> list[MovedExample]:
    """The 20 examples that moved most, the furthest first; none where there are no layers.

    Args:
        reference: of the baseline.
        made: of the model, on the same minibatches.
        pairs: the layers that moved, by their positions in both.

    Source: pointwise kernel alignment, Kolling et al. 2023: see `analysis.examples.pointwise`.
    """
    if not pairs:
        return []
    alignment = pointwise_alignment(reference, made, pairs)
    mean = mean_over_layers(alignment)
    lowest = np.where(np.isfinite(alignment), alignment, np.inf)
    labelled = reference if reference.labels is not None else made
    labels = _named(labelled.labels, labelled.label_names)
    before, now = _predicted(reference, made), _predicted(made, made)
    order = [place for place in np.argsort(mean, kind="stable").tolist() if math.isfinite(mean[place])]
    return [
        MovedExample(
            made.example_ids[place],
            float(mean[place]),
            float(lowest[place].min()),
            reference.layer_names[pairs[int(lowest[place].argmin())][0]],
            None if labels is None else labels[place],
            None if before is None else before[place],
            None if now is None else now[place],
        )
        for place in order[:MOST]
    ]


def _predicted(model: Representation, named_by: Representation) -> list[str] | None:
    """Predicted classes, where the scores are finite."""
    if model.logits is None or not np.isfinite(model.logits).all():
        return None
    return _named(model.predictions, named_by.class_names or named_by.label_names)


def sentence_on(examples: Sequence[MovedExample]) -> str:
    """The first five in a sentence; empty without any."""
    if not examples:
        return ""
    first = "; ".join(map(str, examples[:SHOWN]))
    return f"Examples that moved most (pointwise alignment with the baseline, 1 as before): {first}."


def _named(numbers: Any, names: Sequence[str] | None) -> list[str] | None:
    if numbers is None:
        return None
    return [names[k] if names is not None and 0 <= k < len(names) else str(k) for k in numbers.tolist()]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
