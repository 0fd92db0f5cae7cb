"""What a reader of a check should know and what does not fail it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cka_plugin.core import MIN_MINIBATCHES
from cka_plugin.regression.environment import environment
from cka_plugin.regression.result import LayerCheck
from cka_plugin.regression.stored import Baseline
from cka_plugin.representation import Representation
from cka_plugin.wording import listed


def notes_on(baseline: Baseline, made: Representation, rows: Sequence[LayerCheck]) -> list[str]:
    """All notes on a check, a sentence each."""
    return [
        *changed_preparation(baseline.representation, made),
        *new_layers(baseline.representation, made, rows),
        *no_intervals(made),
        *small_movements(rows),
        *other_environment(baseline),
        *half_precision(baseline),
    ]


def changed_preparation(reference: Representation, made: Representation) -> list[str]:
    """Raw examples that are prepared otherwise than for the baseline."""
    before, now = reference.options.get("preparation"), made.options.get("preparation")
    return [f"Examples are prepared as {now!r}, for the baseline as {before!r}."] if before != now else []


def new_layers(reference: Representation, made: Representation, rows: Sequence[LayerCheck]) -> list[str]:
    """Layers that were matched with none of the baseline's."""
    matched = {row.path for row in rows}
    new = [layer.name for layer in made.layers if layer.name not in reference.layer_names and layer.path not in matched]
    return [f"Layers that the baseline does not have, not judged: {listed(new)}."] if new else []


def passed_over(rows: Sequence[LayerCheck], predictions: Sequence[str]) -> list[str]:
    """What could not be judged and, as the caller wished, does not count."""
    dead = [row.name for row in rows if row.inconclusive]
    said = [f"Layers without a similarity in the baseline already, not judged: {listed(dead)}."] if dead else []
    return said + [f"Not judged: {sentence}." for sentence in predictions]


def no_intervals(made: Representation) -> list[str]:
    """Too few minibatches for intervals."""
    if sum(number == 0 for number in made.passes) >= MIN_MINIBATCHES:
        return []
    return [f"Intervals need at least {MIN_MINIBATCHES} minibatches, such as 256 examples in minibatches of 32."]


def small_movements(rows: Sequence[LayerCheck]) -> list[str]:
    """Layers that moved by more than rounding where all passed."""
    moved = [row for row in rows if row.passed and row.moved and math.isfinite(row.cka)]
    if not moved or not all(row.passed for row in rows):
        return []
    lowest = min(moved, key=lambda row: row.cka)
    said = f"{len(moved)} layers moved by more than rounding, the first {moved[0].name}, the furthest {lowest.name}"
    if len(moved) == 1:
        said = f"{lowest.name} moved by more than rounding"
    return [f"{said} (CKA {lowest.cka:.5f}); where nothing should have changed, ask for min_cka=0.9999."]


def other_environment(baseline: Baseline) -> list[str]:
    """Versions or a device other than those that the baseline was made with."""
    now = environment()
    changed = [
        f"{key} {value}, now {now[key]}" for key, value in baseline.environment.items() if now.get(key, value) != value
    ]
    return [f"The baseline was made with {'; '.join(changed)}."] if changed else []


def half_precision(baseline: Baseline) -> list[str]:
    """What a baseline in half precision does not tell."""
    if baseline.has_block_structure:
        return []
    return ["Block structure is not judged: the baseline is stored in half precision."]
