"""The contents of the page on a comparison."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cka_plugin.core import Floats
from cka_plugin.experiments.raw_examples import raw_examples
from cka_plugin.report.page.atlas import gather_atlas
from cka_plugin.report.page.compared import Compared
from cka_plugin.report.page.contents import Contents, Method, Unknown, Verdict
from cka_plugin.report.page.method import facts_of, warnings_of
from cka_plugin.report.page.model import model_of
from cka_plugin.report.page.pair import Found, Wanted, found_of, pair_of
from cka_plugin.report.page.pictures import chosen, picture_of
from cka_plugin.report.page.sentences import many_verdicts, one_verdicts, pair_verdicts
from cka_plugin.report.page.tables import Column, Table
from cka_plugin.report.plots.colour_scale import scale_of
from cka_plugin.warnings import CKAWarning

# Up to so many pairs, chance and the places of examples are looked at for each, which takes seconds a pair; with more
# than the first number by fewer permutations, which the page names.
FEW_PAIRS, SOME_PAIRS = 3, 10
DRAWS, FEWER_DRAWS = 199, 39
_NO_DATA = (
    "Examples are named by their ids: the data are not at hand where a comparison is read from a file. Give them with "
    "data= (--data) to show the examples."
)
_EXCEPTIONS = (ValueError, TypeError, RuntimeError, OSError)


@dataclass(frozen=True)
class Asked:
    """What a page is to hold.

    Attributes:
        data: what the comparison was made on, for pictures of examples; None where it is not at hand.
        examples: show examples; without, only their ids.
        details: chance and the places of examples for every pair, which takes as long as many comparisons; None: where
            there are at most 10 pairs, of more than 3 by fewer permutations.
        mapping: how the classes of the heads correspond, as for `Comparison.errors`.
        restrict: likewise.
        atlas: of very many models no pairs, but who is like whom.
        again: (call or command, what it does) that make the page again.
    """

    data: Any = None
    examples: bool = True
    details: bool | None = None
    mapping: Any = None
    restrict: bool = False
    atlas: bool = False
    again: list[tuple[str, str]] = field(default_factory=list)


def gather(compared: Compared, asked: Asked) -> Contents:
    """All that the page holds of a comparison."""
    names = compared.names
    if asked.atlas:
        return gather_atlas(compared, asked.again)
    pairs = list(itertools.combinations(names, 2))
    detailed = len(pairs) <= SOME_PAIRS if asked.details is None else asked.details
    all_of_it = bool(asked.details) or (asked.details is None and len(pairs) <= FEW_PAIRS)
    draws = DRAWS if all_of_it else FEWER_DRAWS if detailed else 0
    wanted = Wanted(draws, all_of_it, asked.data, asked.mapping, asked.restrict)
    first = compared[names[0]]
    places = {example: place for place, example in enumerate(first.example_ids)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CKAWarning)
        blocks = {name: _attempt(compared, name) for name in names}
        found = {pair: found_of(compared, pair, wanted) for pair in pairs}
        similarity = compared.models()
        verdicts = _verdicts(compared, similarity, blocks, found)
    said = [str(one.message) for one in caught if issubclass(one.category, CKAWarning)]

    models = [model_of(compared[name], blocks[name], places) for name in names]
    both = {
        (i, j): pair_of(compared, a, b, found.get((a, b)), places)
        for (i, a), (j, b) in itertools.combinations_with_replacement(enumerate(names), 2)
    }
    scale = scale_of([pair["cka"] for pair in both.values()])
    pictures: dict[int, dict[str, str]] = {}
    if asked.examples:
        pictures, remark = _pictures(asked.data, first, chosen(_wanted(models, list(both.values()))))
        said += remark
    return Contents(
        title=_title(names),
        subtitle=_subtitle(compared),
        names=names,
        verdicts=verdicts,
        similarity=similarity,
        scale=(scale.low, scale.high),
        overview=_overview(compared, blocks),
        models=models,
        pairs=both,
        pictures=pictures,
        method=Method(
            facts_of([compared[name] for name in names], compared.estimator),
            asked.again,
            warnings_of([compared[name] for name in names], said),
        ),
    )


def _attempt(compared: Compared, name: str) -> Any:
    try:
        return compared.block_structure(name)
    except _EXCEPTIONS as error:
        return Unknown(str(error))


def _verdicts(
    compared: Compared, similarity: Floats, blocks: dict[str, Any], found: dict[tuple[str, str], Found]
) -> list[Verdict]:
    names = compared.names
    if len(names) == 1:
        return one_verdicts(names[0], compared.matrix(names[0], names[0]), blocks[names[0]])
    if len(names) == 2:
        a, b = names
        return pair_verdicts(a, b, float(similarity[0, 1]), found[a, b], blocks)
    try:
        together = compared.similarity_and_errors()
    except _EXCEPTIONS as error:
        together = Unknown(str(error))
    accuracies = [compared[name].accuracy for name in names]
    return many_verdicts(names, similarity, blocks, accuracies, together, [one.errors for one in found.values()])


def _title(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]}, layer by layer"
    if len(names) == 2:
        return f"{names[0]} and {names[1]}, layer by layer"
    return f"{len(names)} models, layer by layer"


def _subtitle(compared: Compared) -> str:
    first = compared[compared.names[0]]
    return (
        f"{first.options.get('kernel', 'linear')} CKA, {compared.estimator}; {first.n_examples:,} examples in "
        f"minibatches of {first.batch_sizes[0]}" + (f"; {compared.sketched}" if compared.sketched else "")
    )


def _overview(compared: Compared, blocks: dict[str, Any]) -> Table:
    models = [compared[name] for name in compared.names]
    about = [model.options.get("model") or {} for model in models]
    return Table(
        "models",
        [
            Column("model", "text", compared.names),
            Column("family", "text", [one.get("family") for one in about]),
            Column("layers", "whole", [len(model.layers) for model in models]),
            Column("parameters", "whole", [one.get("parameters") for one in about]),
            Column("accuracy", "percent", [model.accuracy for model in models]),
            Column("block structure", "text", [getattr(blocks[name], "verdict", None) for name in compared.names]),
        ],
    )


def _wanted(models: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> Iterable[list[int]]:
    """Lists of places of examples that the page names, of which the first matter most."""
    for model in models:
        if not isinstance(model["blocks"], Unknown):
            for dominant in model["blocks"]["dominant"]:
                yield [one["place"] for one in dominant]
    for pair in pairs:
        if not isinstance(errors := pair.get("errors", Unknown("")), Unknown):
            yield [one["place"] for one in errors["gallery"]]
        if not isinstance(examples := pair.get("examples", Unknown("")), Unknown):
            yield examples["places"]


def _pictures(data: Any, model: Any, places: list[int]) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Pictures of examples, and a sentence where there are none."""
    if data is None:
        return {}, [_NO_DATA]
    try:
        raw = raw_examples(data, model, places)
    except _EXCEPTIONS as error:
        return {}, [f"Examples are named by their ids, as the data could not be read again: {error}"]
    made = {place: picture for place in places if place in raw and (picture := picture_of(raw[place])) is not None}
    if len(raw) < len(places):
        left = f"{len(places) - len(raw)} of {len(places)} examples are named by their ids: read again, "
        return made, [left + "the data gave other content for them (random augmentation, or a stream that is used up)."]
    return made, []
