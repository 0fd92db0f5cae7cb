"""What a check found, in sentences: worst first, what moved, where along depth, and what that did to predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from cka_plugin.report.checked_layer import CheckedLayer
from cka_plugin.wording import listed

SHOWN = 6  # layers that a sentence names
_CLASSES = 5


class MovedLayer(CheckedLayer, Protocol):
    """What is said of a layer."""

    @property
    def depth(self) -> float:
        """Relative depth."""

    @property
    def reason(self) -> str:
        """Why its similarity is undefined."""

    @property
    def inconclusive(self) -> bool:
        """Whether it cannot be judged."""

    @property
    def moved(self) -> bool:
        """Whether it differs by more than rounding can explain."""


def what_moved(worst: Sequence[MovedLayer]) -> str:
    """Which layers lie below their thresholds.

    Args:
        worst: all layers, the worst first.
    """
    failed = [row for row in worst if not row.passed and not row.inconclusive]
    if not failed:
        alive = [row.cka for row in worst if math.isfinite(row.cka)]
        lowest = f"; the lowest CKA is {min(alive):.4f}" if alive else ""
        return f"No layer lies below its threshold{lowest}."
    said = [
        f"{row.name} (CKA {row.cka:.4f}, threshold {row.threshold:g})"
        if math.isfinite(row.cka)
        else f"{row.name} ({row.reason or 'no similarity'})"
        for row in failed[:SHOWN]
    ]
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return f"{len(failed)} of {len(worst)} layers lie below their thresholds, the worst first: {', '.join(said)}{more}."


def where(layers: Sequence[MovedLayer]) -> str:
    """At which depth the layers begin to differ.

    Args:
        layers: in the order in which they fire.
    """
    moved = [row for row in layers if row.moved]
    if not moved:
        return "No layer differs from its baseline by more than rounding can explain."
    return (
        f"{len(moved)} of {len(layers)} layers differ from the baseline by more than rounding can explain, the first "
        f"of them {moved[0].name} at relative depth {moved[0].depth:.2f}."
    )


def what_it_did(errors: Any, churn: float | None) -> str:
    """Accuracy before and now, with the classes that lost most; empty where predictions are not known.

    Args:
        errors: the `ErrorComparison` of baseline and model, or None.
        churn: share of predictions that changed, or None.
    """
    changed = "" if churn is None else f"{churn:.1%} of predictions changed."
    if errors is None:
        return changed
    said = f"Accuracy was {errors.accuracy_a:.1%} and is {errors.accuracy_b:.1%}."
    worse = sorted((row for row in errors.classes if row.difference > 0), key=lambda row: -row.difference)
    named = [f"{row.name} ({100 * row.accuracy_a:.0f}% to {100 * row.accuracy_b:.0f}%)" for row in worse[:_CLASSES]]
    lost = f"Classes that lost most: {listed(named)}." if named else ""
    return " ".join(part for part in (said, changed, lost) if part)
