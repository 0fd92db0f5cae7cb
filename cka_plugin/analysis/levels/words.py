"""What levels say, in words: no more than what was computed, each number beside what it is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from cka_plugin.analysis.levels.result import LayerLevels, known_data
from cka_plugin.wording import for_terminal

ALPHA = 0.05


def sentence_of_layer(row: LayerLevels, measure: str, left_out: int) -> str:
    """What is said of one layer and its best match."""
    span = f" [{row.low:.2f}, {row.high:.2f}]" if math.isfinite(row.low) else ""
    parts = [f"{row.layer} is most like {row.match}: CKA {row.cka:.2f}{span}"]
    beyond = "beyond" if row.p <= ALPHA else "not shown to be beyond"
    parts.append(f"{beyond} what the best of unrelated layers reaches ({row.chance:.2f})")
    if math.isfinite(row.untrained):
        parts.append(
            {
                "above": f"above the untrained copies ({row.untrained:.2f})",
                "below": f"below the untrained copies ({row.untrained:.2f})",
                "unclear": f"not told from the untrained copies ({row.untrained:.2f})",
                "": f"beside {row.untrained:.2f} of the untrained copies",
            }[row.against_untrained]
        )
    if math.isfinite(row.along_data):
        parts.append(f"{row.along_data:.2f} of it along {known_data([row])}")
    if math.isfinite(row.without_dominant):
        parts.append(f"{row.without_dominant:.2f} without {left_out} dominant examples")
    if math.isfinite(row.second):
        parts.append(f"{measure} {row.second:.2f} (by chance {row.second_chance:.2f})")
    return f"{'; '.join(parts)}."


def sentence_of_models(rows: Sequence[LayerLevels], names: tuple[str, str], measure: str, left_out: int) -> str:
    """What of the similarity of two models architecture, data and a few examples may explain."""
    alive = [row for row in rows if row.match is not None]
    a, b = map(for_terminal, names)
    if not alive:
        return f"No layer of {a} has a similarity to one of {b}."
    beyond = _count(alive, lambda row: row.p <= ALPHA)
    parts = [f"{beyond} best matches are beyond chance, as those of nearly any two networks on the same data are"]
    judged = [row for row in alive if row.against_untrained]
    if judged:
        below = _count(judged, lambda row: row.against_untrained == "below")
        unclear = sum(row.against_untrained == "unclear" for row in judged)
        above = [row.cka - row.untrained for row in judged if row.against_untrained == "above"]
        by = f" by {_span(above)}" if above else ""
        lie = f"{len(above)} of {len(judged)} lie above the untrained copies{by}"
        told = f"{lie}, {below} below, {unclear} undecided"
        parts.append(f"architecture: {told}")
    if along := [row.along_data for row in alive if math.isfinite(row.along_data)]:
        parts.append(f"data: of CKA {_span(along)} lies along {known_data(alive)}")
    if few := [row for row in alive if math.isfinite(row.without_dominant)]:
        hang = sum(row.hangs_on_few for row in few)
        change = [row.without_dominant - row.cka for row in few]
        by = f"{min(change):+.3f} to {max(change):+.3f}"
        told = f"without {left_out} that dominate CKA changes by {by}, and {hang} of {len(few)} lose half of it or more"
        parts.append(f"a few examples: {told}")
    if second := [row for row in alive if math.isfinite(row.second)]:
        beyond = _count(second, lambda row: row.second > row.second_chance)
        values = [row.second for row in second]
        parts.append(f"{measure} is {_span(values)}, beyond its own chance in {beyond}")
    return f"{a} and {b}: {'; '.join(parts)}."


def _count(rows: Sequence[LayerLevels], holds: Callable[[LayerLevels], bool]) -> str:
    return f"{sum(map(holds, rows))} of {len(rows)}"


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} (median {np.median(values):.2f})"
