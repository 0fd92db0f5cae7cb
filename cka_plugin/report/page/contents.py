"""What a page holds, as plain data: whoever has these can write one, whatever they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cka_plugin.core import Floats


@dataclass(frozen=True)
class Verdict:
    """One sentence or two of what was found.

    Attributes:
        about: a word or two on what it is about.
        text: the sentences, with their numbers.
    """

    about: str
    text: str


@dataclass(frozen=True)
class Unknown:
    """In the place of an analysis that could not be made.

    Attributes:
        reason: why not, a sentence.
    """

    reason: str


@dataclass(frozen=True)
class Method:
    """How the figures came about, and how they are made again.

    Attributes:
        facts: (what, which): options, versions, seed, fingerprint.
        again: calls or commands that make the page again, with a word on each.
        warnings: what a careful reader should know.
    """

    facts: list[tuple[str, str]]
    again: list[tuple[str, str]]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CheckContents:
    """A page on a check against a baseline.

    Attributes:
        title: of the page.
        verdict: `passed`, `FAILED` or `inconclusive`.
        verdicts: what was found, the most important first.
        failures: all that failed or could not be judged, a sentence each.
        notes: what a reader should know besides.
        facts: (what, which) of data, intervals, versions.
        layers: the table of layers, and the lines along depth.
        errors: the table of classes and the changed predictions, or why there are none.
        examples: those that moved most: a table, and their places in `pictures`.
        pictures: of examples, as in `Contents`.
    """

    title: str
    verdict: str
    verdicts: list[Verdict]
    failures: list[str]
    notes: list[str]
    facts: list[tuple[str, str]]
    layers: dict[str, Any]
    errors: Any
    examples: dict[str, Any]
    pictures: dict[int, dict[str, str]]


@dataclass(frozen=True)
class Contents:
    """A page on a comparison.

    Attributes:
        title: of the page.
        subtitle: on what, with which CKA.
        names: of the models.
        verdicts: what was found, the most important first.
        similarity: (models, models) of whole models.
        scale: (lowest, highest) of the colours, one for all pictures.
        overview: a `Table` with a row a model.
        models: one mapping a model, in the order of `names`: layers and block structure.
        pairs: by the places of two models in `names`, the first at most the second: all that is known of the pair.
        pictures: of examples, by their place in the data: `{"image": data URI}` or `{"text": text}`.
        method: how it was made.
        families: a `Table` with a row a family, in a page of very many models, which has no pairs.
        map: likewise, places of the models in the plane (x, y), their families, and what share each axis shows.
    """

    title: str
    subtitle: str
    names: list[str]
    verdicts: list[Verdict]
    similarity: Floats
    scale: tuple[float, float]
    overview: Any
    models: list[dict[str, Any]]
    pairs: dict[tuple[int, int], dict[str, Any]]
    pictures: dict[int, dict[str, str]]
    method: Method
    families: Any = None
    map: Any = None
