"""The page on a check: worst first, what moved, where, for which classes and examples, and what it may mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cka_plugin.regression.moved_examples import sentence_on
from cka_plugin.regression.words import SHOWN, what_it_did, what_moved, where
from cka_plugin.report.page.contents import CheckContents, Unknown, Verdict
from cka_plugin.report.page.method import versions
from cka_plugin.report.page.pair import errors_of
from cka_plugin.report.page.pictures import picture_of
from cka_plugin.report.page.tables import table

_LAYERS = [
    ("name", "layer", "text"),
    ("path", "module", "text"),
    ("depth", "depth", "depth"),
    ("cka", "CKA", "fine"),
    ("low", "low", "fine", "lower end of the interval over minibatches"),
    ("high", "high", "fine"),
    ("threshold", "threshold", "fine"),
    ("verdict", "verdict", "text", "close: on other examples it might be the other"),
    ("reason", "why undefined", "text"),
]
_MOVED = [
    ("example_id", "example", "text"),
    ("alignment", "alignment", "number", "with the baseline, 1 as before, 0 nothing in common"),
    ("lowest", "lowest", "number"),
    ("layer", "at layer", "text"),
    ("label", "label", "text"),
    ("before", "before", "text"),
    ("now", "now", "text"),
]


def contents_of(result: Any, examples: bool = True, accept: str = "") -> CheckContents:
    """What the page on a check holds.

    Args:
        result: the `CheckResult`.
        examples: show examples, where the check had data.
        accept: how what the model computes now is accepted; empty for what is known without the caller.
    """
    moved = result.examples
    gallery = [] if result.errors is None else [row.example_id for row in result.errors.disagreements[:120]]
    places = {example: place for place, example in enumerate(dict.fromkeys([*(m.example_id for m in moved), *gallery]))}
    pictures, notes = _pictures(result, places) if examples else ({}, [])
    worst = result.worst
    return CheckContents(
        title=f"{result.model} against {result.baseline}",
        verdict=result.verdict,
        verdicts=_verdicts(result, accept),
        failures=result.sentences(),
        notes=[*result.notes, *notes],
        facts=[
            ("data", f"{result.n_examples:,} examples in {result.n_minibatches} minibatches"),
            ("intervals", f"{result.level:.0%}, leaving out one minibatch at a time; the point estimate decides"),
            ("versions", versions()),
        ],
        layers={
            "table": table("layers, worst first", worst, _LAYERS),
            "chart": _along_depth(result.layers),
        },
        errors=Unknown("Without labels and predictions no errors are compared.")
        if result.errors is None
        else errors_of(result.errors, places),
        examples={
            "table": table("examples that moved most", moved, _MOVED),
            "places": [places[m.example_id] for m in moved],
        },
        pictures=pictures,
    )


def _along_depth(layers: Sequence[Any]) -> dict[str, list[Any]]:
    return {
        "names": [row.name for row in layers],
        "depths": [row.depth for row in layers],
        "cka": [row.cka for row in layers],
        "low": [row.low for row in layers],
        "high": [row.high for row in layers],
        "threshold": [row.threshold for row in layers],
        "failed": [not row.passed for row in layers],
    }


def _verdicts(result: Any, accept: str) -> list[Verdict]:
    parts = [
        ("What moved", what_moved(result.worst)),
        ("Where", where(result.layers)),
        ("Predictions", what_it_did(result.errors, result.churn)),
        ("Examples", sentence_on(result.examples)),
        ("Not judged", " ".join(f"{one.rstrip('.')}." for one in result.inconclusive[:SHOWN])),
        ("What it may mean", result.meaning),
        ("How it is accepted", "" if result.passed else accept),
    ]
    return [Verdict(about, text) for about, text in parts if text]


def _pictures(result: Any, places: dict[Any, int]) -> tuple[dict[int, dict[str, str]], list[str]]:
    if result.raw is None:
        return {}, []
    try:
        raw = result.raw(list(places))
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return {}, [f"Examples are named by their ids, as the data could not be read again: {error}"]
    made = {places[example]: picture_of(value) for example, value in raw.items()}
    return {place: picture for place, picture in made.items() if picture is not None}, []
