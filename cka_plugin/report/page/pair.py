"""All that the page says of two models: similarity, correspondence, blocks, errors, examples, levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cka_plugin.report.page.compared import Compared
from cka_plugin.report.page.contents import Unknown
from cka_plugin.report.page.levels import levels_of
from cka_plugin.report.page.tables import Column, table
from cka_plugin.representation import Representation

GALLERY = 120  # disagreements, and as many examples placed differently, that a page shows of a pair
_EXCEPTIONS = (ValueError, TypeError, RuntimeError, OSError)  # what analyses raise where they cannot be made

_CLASSES = [
    ("name", "class", "text"),
    ("n", "examples", "whole"),
    ("accuracy_a", "{a}", "percent"),
    ("accuracy_b", "{b}", "percent"),
    ("difference", "difference", "signed", "accuracy of {a} minus accuracy of {b}, points"),
    ("low", "low", "signed", "lower end of Tango's interval of the difference"),
    ("high", "high", "signed", "upper end"),
    ("p", "p", "p", "exact McNemar test"),
    ("p_corrected", "p corrected", "p", "over all classes"),
    ("significant", "differs", "flag"),
    ("testable", "could differ", "flag", "with all its examples discordant in one direction, it would be significant"),
]
_MATCHES = [
    ("layer", "layer of {a}", "text"),
    ("depth", "depth", "depth", "relative, 0 to 1"),
    ("match", "best match in {b}", "text"),
    ("match_depth", "its depth", "depth"),
    ("cka", "CKA", "number"),
    ("low", "low", "number", "lower end of the interval"),
    ("high", "high", "number"),
    ("runner_up", "runner-up", "text"),
    ("runner_up_cka", "CKA of it", "number"),
    ("tied", "tied", "flag", "a paired jackknife cannot tell the two apart"),
    ("equal_depth", "at equal depth", "flag", "no layer of {b} is nearer in relative depth"),
    ("verdict", "verdict", "text", "clear, tied, unlike, or inconclusive: the examples at hand do not tell"),
    ("unlike", "unlike", "flag", "nothing in {b} resembles the layer: below 0.3, a convention and no test"),
]
_SKETCHED = ("sketch_error", "sketch error", "number", "standard error of the CKA that comes of sketches")
_PLACED = [
    ("example_id", "example", "text"),
    ("alignment", "alignment", "number", "how alike the two models place it; 1: alike, 0: nothing in common"),
    ("lowest", "lowest", "number", "over the layers at equal depth"),
    ("lowest_layer", "at layer", "text"),
    ("label", "label", "text"),
    ("prediction_a", "{a} predicts", "text"),
    ("prediction_b", "{b} predicts", "text"),
    ("dominant", "dominant", "flag", "among the few that make the first component of either model"),
]
_MOVED_CLASSES = [
    ("name", "class", "text"),
    ("n", "examples", "whole"),
    ("alignment", "alignment", "number"),
    ("difference", "against the rest", "number", "negative where the class is placed more differently than others"),
    ("p", "p", "p", "Mann-Whitney test against the rest"),
    ("p_corrected", "p corrected", "p"),
    ("significant", "differs", "flag"),
    ("accuracy_difference", "difference in accuracy", "signed"),
    ("errors_p_corrected", "p of that", "p", "exact McNemar test, corrected over all classes"),
    ("errors_differ", "errors differ", "flag"),
]
_BLOCKS = [
    ("layers_a", "block of {a}", "text"),
    ("layers_b", "block of {b}", "text"),
    ("within_a", "CKA within {a}", "number"),
    ("within_b", "within {b}", "number"),
    ("between", "between", "number"),
    ("first_component_cosine", "shared direction", "number", "mean squared cosine of first components"),
    ("alike", "alike", "flag"),
]


@dataclass(frozen=True)
class Wanted:
    """Which analyses of a pair are wanted, and how.

    Attributes:
        draws: permutations for the level of chance; 0: neither that nor the places of examples, which take as long as
            many comparisons.
        levels: all that similarity can be held against, which takes longer still.
        data: read again for the level of the inputs; None where they are not at hand.
        mapping, restrict: of the errors.
    """

    draws: int = 0
    levels: bool = False
    data: Any = None
    mapping: Any = None
    restrict: bool = False


@dataclass(frozen=True)
class Found:
    """The results of the analyses of a pair; `Unknown` where one could not be made.

    Attributes:
        correspondence, calibrated, levels, blocks, errors, agreement, examples: what `Comparison` gives under these
            names.
    """

    correspondence: Any
    calibrated: Any
    levels: Any
    blocks: Any
    errors: Any
    agreement: Any
    examples: Any


def found_of(compared: Compared, pair: tuple[str, str], wanted: Wanted) -> Found:
    """Make the analyses of a pair of different models.

    Args:
        compared: the comparison.
        pair: of models.
        wanted: which of them.
    """
    (a, b), rules = pair, {"mapping": wanted.mapping, "restrict": wanted.restrict}
    draws = wanted.draws
    left_out = Unknown(
        "Left out, as it takes long: of few pairs it is made by itself, of many with details=True (--details)."
    )
    correspondence = _attempt(compared.correspondence, a, b)
    return Found(
        correspondence=correspondence
        if isinstance(correspondence, Unknown)
        else _as_shown(compared, pair, correspondence),
        calibrated=_attempt(compared.calibrated, a, b, draws=draws) if draws else left_out,
        levels=_levels(compared, a, b, wanted) if wanted.levels else left_out,
        blocks=_blocks_of_both(compared, a, b) if draws else left_out,
        errors=_attempt(compared.errors, a, b, **rules),
        agreement=_attempt(compared.agreement, a, b, mapping=wanted.mapping),
        examples=_attempt(compared.examples, a, b) if draws else left_out,
    )


def pair_of(compared: Compared, a: str, b: str, found: Found | None, places: dict[Any, int]) -> dict[str, Any]:
    """What the page holds of a pair.

    Args:
        compared: the comparison.
        a, b: two models, or one with itself.
        found: the analyses of two different models; None for a model with itself.
        places: of the examples, by their ids.
    """
    low, high = compared.interval(a, b)
    result: dict[str, Any] = {"cka": compared.matrix(a, b), "low": low, "high": high}
    if found is None:
        return result
    calibrated = found.calibrated
    if not isinstance(calibrated, Unknown):
        result["calibrated"] = calibrated.matrix
    return result | {
        "correspondence": _or_unknown(found.correspondence, lambda it: _correspondence(it, calibrated, (a, b))),
        "chance": calibrated if isinstance(calibrated, Unknown) else None,
        "levels": _or_unknown(
            found.levels, lambda it: levels_of(it, (shown_names(compared[a]), shown_names(compared[b])))
        ),
        "blocks": _or_unknown(found.blocks, lambda it: _blocks(it, (a, b))),
        "errors": _or_unknown(found.errors, lambda it: errors_of(it, places)),
        "examples": _or_unknown(found.examples, lambda it: _examples(it, places, shown_names(compared[a]))),
    }


def errors_of(found: Any, places: dict[Any, int]) -> dict[str, Any]:
    """What the page holds of an `ErrorComparison`: the table of classes, and the first disagreements.

    Args:
        found: it.
        places: of the examples, by their ids; those without have no picture.
    """
    first, *others = str(found).partition("\n\n")[0].split("\n")
    names = found.class_names
    shown = found.disagreements[:GALLERY]
    gallery = [
        {
            "id": str(row.example_id),
            "place": places.get(row.example_id),
            "label": names[row.label],
            "a": _class(names[row.prediction_a], row.outside_a),
            "b": _class(names[row.prediction_b], row.outside_b),
            "sure_a": row.confidence_a,
            "sure_b": row.confidence_b,
            "right": row.right,
        }
        for row in shown
    ]
    return {
        "text": [first, *(line[:1].upper() + line[1:] for line in others)],
        "classes": table("classes", found.classes, _CLASSES, found.names),
        "correction": found.correction,
        "alpha": found.alpha,
        "level": found.level,
        "disagreements": len(found.disagreements),
        "gallery": gallery,
    }


def _attempt(analyse: Callable[..., Any], *given: Any, **options: Any) -> Any:
    try:
        return analyse(*given, **options)
    except _EXCEPTIONS as error:
        return Unknown(str(error))


def _levels(compared: Compared, a: str, b: str, wanted: Wanted) -> Any:
    """With the inputs, where the data are at hand and have any that are numbers of one shape."""
    if wanted.data is not None:
        found = _attempt(compared.levels, a, b, draws=wanted.draws, data=wanted.data)
        if not isinstance(found, Unknown):
            return found
    return _attempt(compared.levels, a, b, draws=wanted.draws)


def _as_shown(compared: Compared, pair: tuple[str, str], found: Any) -> Any:
    """A correspondence with layers as pictures name them: those of the user's own modules by their paths."""
    a, b = (shown_names(compared[name]) for name in pair)
    matches = [
        replace(
            match,
            layer=a[match.layer],
            match=None if match.match is None else b[match.match],
            runner_up=None if match.runner_up is None else b[match.runner_up],
        )
        for match in found.matches
    ]
    only = {"only_in_a": [a[name] for name in found.only_in_a], "only_in_b": [b[name] for name in found.only_in_b]}
    return replace(found, matches=matches, **only)


def shown_names(model: Representation) -> dict[str, str]:
    """What pictures and tables call each layer of a model, by its common name."""
    return {layer.name: shown.name for layer, shown in zip(model.layers, model.shown_layers, strict=True)}


def _blocks_of_both(compared: Compared, a: str, b: str) -> Any:
    """Blocks side by side, which takes the components of both models, where both have any."""
    for name in (a, b):
        structure = _attempt(compared.block_structure, name)
        if isinstance(structure, Unknown):
            return structure
        if not structure.blocks:
            return Unknown(f"{name} has no block to compare.")
    return _attempt(compared.compare_blocks, a, b)


def _or_unknown(found: Any, describe: Callable[[Any], dict[str, Any]]) -> Any:
    return found if isinstance(found, Unknown) else describe(found)


def _correspondence(found: Any, calibrated: Any, names: tuple[str, str]) -> dict[str, Any]:
    sketched = any(match.sketch_error > 0 for match in found.matches)
    columns = [*_MATCHES[:5], *[_SKETCHED] * sketched, *_MATCHES[5:]]
    made = table(f"best match of each layer of {names[0]}", found.matches, columns, names)
    if not isinstance(calibrated, Unknown):
        rows = calibrated.matches
        made.columns.extend(
            [
                Column(
                    "by chance",
                    "number",
                    [row.chance for row in rows],
                    "what the best of as many layers reaches in one draw of 20, the examples of one model permuted",
                ),
                Column("above chance", "number", [row.calibrated for row in rows], "(CKA - chance)/(1 - chance)"),
                Column("p", "p", [row.p for row in rows], "of the best match, corrected for the search over layers"),
            ]
        )
    return {"table": made, "only_in_b": found.only_in_b}


def _blocks(found: Any, names: tuple[str, str]) -> dict[str, Any]:
    made = table("blocks of the two models, side by side", found.pairs, _BLOCKS, names)
    for column, attribute in zip(made.columns, ("layers_a", "layers_b"), strict=False):
        column.values[:] = [" to ".join(getattr(pair, attribute)) for pair in found.pairs]
    return {"text": found.reason, "table": made}


def _class(name: str, outside: str) -> str:
    return f"{name} ({outside})" if outside else name


def _examples(found: Any, places: dict[Any, int], layers: dict[str, str]) -> dict[str, Any]:
    shown = [replace(row, lowest_layer=layers[row.lowest_layer]) for row in found.examples[:GALLERY]]
    scale = (
        "An alignment of 1 means that both models place the example alike among the others of its minibatch; by chance "
        f"it is {found.chance:.2f} or less in 95% of draws (minibatches of {found.batch_size})."
    )
    return {
        "text": [
            scale,
            found.foretells(),
            *found.notes,
        ],
        "chance": found.chance,
        "count": len(found.examples),
        "table": table("examples placed most differently", shown, _PLACED, found.names),
        "places": [places.get(row.example_id) for row in shown],
        "classes": table("classes placed most differently", found.classes, _MOVED_CLASSES) if found.classes else None,
    }
