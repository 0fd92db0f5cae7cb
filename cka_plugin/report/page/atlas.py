"""The page on very many models: who is like whom, and their families; a pair has a page of its own, made on demand.

A pair of models takes some 10 KB of a page and a second to look at: those of 1,500 models would be 11 GB and two weeks.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cka_plugin.core import Floats
from cka_plugin.report.page.compared import Compared
from cka_plugin.report.page.contents import Contents, Method
from cka_plugin.report.page.method import facts_of, warnings_of
from cka_plugin.report.page.sentences import atlas_verdicts
from cka_plugin.report.page.tables import Column, Table
from cka_plugin.report.plots.colour_scale import scale_of
from cka_plugin.report.plots.models import angles_of, classical_scaling, clustered
from cka_plugin.warnings import CKAWarning

_NEAREST = 3
_MOST_WARNINGS = 50


def gather_atlas(compared: Compared, again: list[tuple[str, str]]) -> Contents:
    """All that the page holds of very many models.

    Args:
        compared: them.
        again: (call or command, what it does) that make the page again.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CKAWarning)
        given = compared.models()
        order, _ = clustered(given)
        names, similarity = [compared.names[place] for place in order], given[np.ix_(order, order)]
        accuracies = compared.accuracies(names)
        try:
            families: Any = compared.families()
        except ValueError as error:
            families = str(error)
    said = [str(one.message) for one in caught if issubclass(one.category, CKAWarning)]
    first = compared[names[0]]
    for name in names:  # one after the other: they may lie in files
        said += warnings_of([compared[name]], [])
    if len(said) > _MOST_WARNINGS:
        said = [*said[:_MOST_WARNINGS], f"... and {len(said) - _MOST_WARNINGS} more of the kind"]
    return Contents(
        title=f"{len(names):,} models",
        subtitle=(
            f"{first.options.get('kernel', 'linear')} CKA, {compared.estimator}; {first.n_examples:,} examples in "
            f"minibatches of {first.batch_sizes[0]}"
        ),
        names=names,
        verdicts=atlas_verdicts(names, similarity, list(accuracies.values()), families),
        similarity=similarity,
        scale=_ends(similarity),
        overview=_overview(compared, names, similarity, accuracies),
        models=[],
        pairs={},
        pictures={},
        method=Method(
            [fact for fact in facts_of([first], compared.estimator) if fact[0] != first.name],
            again,
            list(dict.fromkeys(said)),
        ),
        families=None if isinstance(families, str) else _families(families),
        map=_map(compared, names, similarity),
    )


def _map(compared: Compared, names: list[str], similarity: Floats) -> dict[str, Any] | None:
    """Places in the plane, as `model_map` has them; None where some models have no distance to one another."""
    angles = np.degrees(angles_of(similarity))
    if not np.isfinite(angles).all():
        return None
    places, share = classical_scaling(angles)
    return {
        "x": np.round(places[:, 0], 3).tolist(),
        "y": np.round(places[:, 1], 3).tolist(),
        "families": [compared.family(name) for name in names],
        "share": share.tolist(),
    }


def _ends(similarity: Floats) -> tuple[float, float]:
    scale = scale_of([similarity])
    return scale.low, scale.high


def _overview(compared: Compared, names: list[str], similarity: Floats, accuracies: dict[str, float | None]) -> Table:
    """A row a model, with those most like it."""
    ranked = np.argsort(np.where(np.eye(len(names), dtype=bool) | np.isnan(similarity), np.inf, -similarity), axis=1)
    about = [compared[name].options.get("model") or {} for name in names]
    columns = [
        Column("model", "text", names),
        Column("family", "text", [compared.family(name) for name in names]),
        Column("layers", "whole", [len(compared.layers(name)) for name in names]),
        Column("parameters", "whole", [one.get("parameters") for one in about]),
        Column("accuracy", "percent", [accuracies[name] for name in names]),
    ]
    for rank in range(_NEAREST):
        near = ranked[:, rank]
        values = similarity[np.arange(len(names)), near]
        place = ("nearest", "second", "third")[rank]
        known = np.isfinite(values)
        columns.append(Column(place, "text", [names[i] if ok else None for i, ok in zip(near, known, strict=True)]))
        columns.append(
            Column(f"its CKA ({place})", "number", [v if ok else None for v, ok in zip(values, known, strict=True)])
        )
    return Table("models and those most like them", columns)


def _families(found: Any) -> Table:
    rows = found.families
    return Table(
        "families of two models or more",
        [
            Column("family", "text", [one.name for one in rows]),
            Column("models", "whole", [one.models for one in rows]),
            Column("within", "number", [one.within for one in rows], help="mean similarity of its models"),
            Column("others", "number", [one.others for one in rows], help="mean similarity to all other models"),
            Column("p", "p", [one.p_corrected for one in rows], help="by permuting models, corrected over families"),
            Column("p beyond", "p", [one.p_beyond for one in rows], help="beyond differences in size and accuracy"),
            Column("nearest family", "text", [one.nearest for one in rows]),
            Column("similarity", "number", [one.nearest_similarity for one in rows]),
        ],
    )
