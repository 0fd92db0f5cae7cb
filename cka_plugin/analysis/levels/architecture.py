"""What the architecture alone makes alike: the levels of untrained copies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cka_plugin.analysis.difference import difference
from cka_plugin.analysis.grams import cka_sums
from cka_plugin.analysis.levels.matched import Columns, Matched
from cka_plugin.analysis.measures.of_pairs import measured_pairs
from cka_plugin.representation import UNTRAINED
from cka_plugin.wording import for_terminal

NO_COPY = "no untrained copy was run: compare(..., levels=True), or --levels, with the models at hand"


def of_copies(matched: Matched) -> Columns:
    """The best match of each layer between the untrained copies, and how far CKA lies above it."""
    a, b = matched.a, matched.b
    if UNTRAINED not in a.beside or UNTRAINED not in b.beside:
        matched.missing["untrained"] = matched.why(UNTRAINED, NO_COPY)
        return {}
    one, other = a.beside[UNTRAINED], b.beside[UNTRAINED]
    sums = cka_sums(one, other)
    matrix = sums.cka()
    columns = [k for k, name in enumerate(other.layer_names) if name in b.layer_names]
    found: Columns = {
        name: [] for name in ("untrained", "untrained_match", "above_untrained_low", "above_untrained_high")
    }
    for i, j in matched.pairs:
        name = a.layer_names[i]
        row = one.layer_names.index(name) if name in one.layer_names else None
        alive = [] if row is None else [k for k in columns if np.isfinite(matrix[row, k])]
        values: tuple[Any, ...] = (math.nan, None, math.nan, math.nan)
        if row is not None and alive:
            k = max(alive, key=lambda column: matrix[row, column])
            apart = difference(matched.sums, (i, j), sums, (row, k), matched.level)
            values = (float(matrix[row, k]), other.layer_names[k], apart.low, apart.high)
        for held, value in zip(found.values(), values, strict=True):
            held.append(value)
    return found


def second_of_copies(matched: Matched, columns: Columns, measure: str) -> Columns:
    """The second measure of those layers of the copies whose CKA stands in `columns`."""
    if "untrained_match" not in columns or "second" not in columns:
        return {}
    one, other = matched.a.beside[UNTRAINED], matched.b.beside[UNTRAINED]
    matches = zip(columns["layer"], columns["untrained_match"], strict=True)
    places = {
        row: (one.layer_names.index(layer), other.layer_names.index(match))
        for row, (layer, match) in enumerate(matches)
        if match is not None
    }
    values = np.full(len(columns["second"]), np.nan)
    if places:
        values[list(places)] = measured_pairs(one, other, list(places.values()), measure, draws=0).value
    return {"second_untrained": values.tolist()}


def notes_on_copies(matched: Matched) -> list[str]:
    """Copies that have layers without a similarity."""
    notes = []
    for copy in [model.beside[UNTRAINED] for model in (matched.a, matched.b) if UNTRAINED in model.beside]:
        for layer, reason in list(copy.problems.items())[:1]:
            more = f" ({len(copy.problems) - 1} more)" if len(copy.problems) > 1 else ""
            notes.append(f"layer {for_terminal(layer)} of {for_terminal(copy.name)}{more} has no similarity: {reason}")
    return notes
