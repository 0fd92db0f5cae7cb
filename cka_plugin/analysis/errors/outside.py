"""What lies outside a mapping, said: predictions that count as other, labels that no class of a head means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cka_plugin.analysis.errors.heads import Classification
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


def warn_of(names: Sequence[str], found: Classification) -> list[str]:
    """Warn of labels that no class of a head means, and give the sentences: models can only be wrong on them.

    Args:
        names: of the models.
        found: their predictions.
    """
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, missing in zip(names, found.absent, strict=True):
        alike.setdefault(tuple(missing), []).append(name)
    notes = []
    for labels, models in alike.items():
        if labels:
            count = int(np.isin(found.labels, labels).sum())
            absent = listed([found.class_names[label] for label in labels], 4)
            notes.append(
                f"no class of the head of {listed(models, 4)} means {absent}: "
                f"its predictions of {count} of {len(found.labels)} examples can only be wrong"
            )
            warn(notes[-1])
    return notes


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
