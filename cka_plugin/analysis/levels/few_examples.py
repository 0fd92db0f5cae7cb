"""What a few examples make alike: first components, and CKA without the examples that dominate these."""

from __future__ import annotations

import numpy as np

from cka_plugin.analysis.components.dominance import dominance, how_many, ranking
from cka_plugin.analysis.components.principal import Components, components
from cka_plugin.analysis.levels.matched import Columns, Matched
from cka_plugin.analysis.subsets import cka_without_examples
from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.representation import Content

Blocks = tuple[range | None, range | None]


def of_few_examples(matched: Matched, blocks: Blocks, fraction: float) -> tuple[Columns, list[int]]:
    """First components of both layers of each pair, CKA without the dominant examples, and which these are.

    Args:
        matched: the layers.
        blocks: for each model, the layers whose first components say which examples dominate; None for all.
        fraction: of the examples, the most dominant of each model.

    Raises:
        ValueError: a fraction outside (0, 1).
    """
    a, b = components(matched.a), components(matched.b)
    gone: dict[int, None] = {}
    for model, found, block in ((matched.a, a, blocks[0]), (matched.b, b, blocks[1])):
        gone |= dict.fromkeys(_dominant(model, found, block, fraction))
    columns: Columns = {
        "first_component_share": [float(a.share[i]) for i, _ in matched.pairs],
        "first_component_share_of_match": [float(b.share[j]) for _, j in matched.pairs],
        "dimension": [float(a.participation_ratio[i]) for i, _ in matched.pairs],
        "dimension_of_match": [float(b.participation_ratio[j]) for _, j in matched.pairs],
    }
    left = [int((~np.isin(chosen, list(gone))).sum()) for chosen in matched.a.positions]
    if max(left) < MIN_EXAMPLES:
        why = f"without {len(gone)} examples no minibatch keeps the {MIN_EXAMPLES} that CKA needs"
        matched.missing["w/o dom."] = why
    else:
        rest = cka_without_examples(matched.a, list(gone), matched.b).cka()
        columns["without_dominant"] = matched.cells(rest)
    return columns, list(gone)


def _dominant(model: Content, found: Components, block: range | None, fraction: float) -> list[int]:
    """Positions of a model's dominant examples, the most dominant first."""
    span = range(found.share.size) if block is None else block
    order = ranking(dominance(found, model.positions, model.n_examples)[span.start : span.stop])
    return [int(place) for place in order[: how_many(fraction, model.n_examples)]]
