"""What lies outside a mapping, said: predictions that count as other, labels that no class of a head means."""

from __future__ import annotations

from collections.abc import Sequence

from cka_plugin.analysis.errors.heads import Classification
from cka_plugin.warnings import warn


def warn_of(found: Classification) -> None:
    """Warn of what the mappings leave out."""
    for note in found.notes:
        warn(note)


def outside_notes(names: Sequence[str], shares: Sequence[float], other: str) -> list[str]:
    """A sentence for each model, or group, that predicts classes outside its mapping.

    Example:
        >>> outside_notes(["vit", "cnn"], [0.147, 0.0], "other")
        ["vit predicts a class outside its mapping for 14.7% of the examples: it counts as 'other', which is wrong"]
    """
    return [
        f"{name} predicts a class outside its mapping for {share:.1%} of the examples: "
        f"it counts as {other!r}, which is wrong"
        for name, share in zip(names, shares, strict=True)
        if share > 0
    ]
