"""What is shown of a comparison or a representation, in tables or as JSON; one part that fails takes no other away."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cka_plugin.analysis.measures.registry import CKA, measure_of
from cka_plugin.cli.app import print_json
from cka_plugin.cli.console import show_comparison, show_representation
from cka_plugin.cli.measured import by_measure
from cka_plugin.cli.messages import say
from cka_plugin.cli.pictures import Wanted, draw_pictures
from cka_plugin.cli.words import one_line
from cka_plugin.comparison import ATLAS_FROM, Comparison
from cka_plugin.representation import Representation

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """A page that is wanted: its file, or None, and how `Comparison.report` makes it."""

    path: Path | None = None
    data: str | None = None
    examples: bool = True
    details: bool | None = None


@dataclass(frozen=True)
class View:
    """What is wanted of a comparison.

    Attributes:
        pictures: what to draw, and where.
        blocks: look for the block structure in each model.
        errors: compare the mistakes of the first model and each other.
        mapping: how the classes of heads correspond to those of the labels, as for `Comparison.errors`.
        restrict: let mapped models choose among the mapped classes only.
        as_json: print JSON.
        examples: which examples the first model and each other place most differently.
        levels: hold the similarity of the first model and each other against its levels.
        data: read again for the inputs, where these were not kept.
        measure: of similarity, in place of CKA; the second one of levels.
        page: where to write the page, and what it holds.
    """

    pictures: Sequence[Wanted] = ()
    blocks: bool = False
    errors: bool = False
    mapping: Any = None
    restrict: bool = False
    as_json: bool = False
    examples: bool = False
    levels: bool = False
    data: str | None = None
    measure: str | None = None
    page: Page = Page()


def check_measure(measure: str | None) -> str | None:
    """The measure asked for; None where it is CKA, which is what is shown without.

    Raises:
        ValueError: there is no such measure.
    """
    if measure in (None, CKA):
        return None
    measure_of(measure, {})
    return measure


def read_mapping(text: str | None) -> Any:
    """`names`, or a JSON file of {model: {class of its head: class}}.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such mapping.

    Example:
        >>> read_mapping("names"), read_mapping(None)
        ('names', None)
    """
    if text is None or text == "names":
        return text
    if not Path(text).is_file():
        raise FileNotFoundError(f"--mapping {text}: expected `names`, or a JSON file; there is no such file")
    try:
        mapping = json.loads(Path(text).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"--mapping {text} is no JSON: {error}") from error
    if not isinstance(mapping, dict) or not all(isinstance(classes, dict | list) for classes in mapping.values()):
        raise ValueError(f"--mapping {text}: expected an object of {{model: {{class of its head: class}}}}")
    return {model: _by_index(classes) for model, classes in mapping.items()}


def _by_index(classes: Any) -> Any:
    """Classes given by their indices, which JSON writes as text."""
    if isinstance(classes, dict) and all(key.isdigit() for key in classes):
        return {int(key): value for key, value in classes.items()}
    return classes


def present(comparison: Comparison, view: View) -> None:
    """Show a comparison.

    Raises:
        ValueError: a part could not be computed; all others have been shown.
    """
    problems: list[str] = []

    def attempt(compute: Callable[..., T], *given: Any, **options: Any) -> T | None:
        try:
            return compute(*given, **options)
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            problems.append(one_line(error))
            return None

    first, *others = comparison.names
    if view.page.path is not None:
        attempt(_write_page, comparison, view)
    for picture in view.pictures:
        attempt(_draw, comparison, picture, view)
    blocks = {name: attempt(comparison.block_structure, name) for name in comparison.names if view.blocks}
    rules = {"mapping": view.mapping, "restrict": view.restrict}
    mistakes = [attempt(comparison.errors, first, name, **rules) for name in others if view.errors]
    placed = [attempt(comparison.examples, first, name) for name in others if view.examples]
    levels = measured = None
    if view.levels:
        measure = {} if view.measure is None else {"measure": view.measure}
        made = [attempt(comparison.levels, first, name, data=view.data, **measure) for name in others or [first]]
        levels = [found for found in made if found is not None]
    elif view.measure is not None:
        by = [attempt(by_measure, comparison, first, name, view.measure) for name in others or [first]]
        measured = [found for found in by if found is not None]
    if view.as_json:
        result = comparison.to_dict()
        shown = others if len(comparison.names) <= ATLAS_FROM else []  # `to_dict` has no pairs of more either
        result["correspondence"] = [
            {"a": first, "b": name, **comparison.correspondence(first, name).to_dict()} for name in shown
        ]
        if view.blocks:
            result["block_structure"] = {name: found.to_dict() for name, found in blocks.items() if found is not None}
        if view.errors:
            result["errors"] = [found.to_dict() for found in mistakes if found is not None]
        if view.examples:
            result["examples_placed"] = [found.to_dict() for found in placed if found is not None]
        if levels is not None:
            result["levels"] = [found.to_dict() for found in levels]
        if measured is not None:
            result["measured"] = [found.to_dict() for found in measured]
        print_json(result)
    else:
        show_comparison(comparison, levels, measured)
        for name, structure in blocks.items():
            if structure is not None:
                say(f"\n{name}. {structure!r}")
        for found in [*mistakes, *placed]:
            if found is not None:
                say(f"\n{found}")
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))


def _write_page(comparison: Comparison, view: View) -> None:
    page = view.page
    assert page.path is not None
    comparison.report(
        page.path,
        data=page.data,
        examples=page.examples,
        details=page.details,
        mapping=view.mapping,
        restrict=view.restrict,
        command=shlex.join(["cka-plugin", *sys.argv[1:]]),
    )
    if not view.as_json:
        say(f"Page: {page.path}\n")


def _draw(comparison: Comparison, picture: Wanted, view: View) -> None:
    errors = {"mapping": view.mapping, "restrict": view.restrict}
    for path in draw_pictures(comparison, picture, errors, view.page.data):
        if not view.as_json and picture.kind is not None:
            say(f"Picture: {path}")


def present_representation(representation: Representation, as_json: bool = False, **more: Any) -> None:
    """Show a representation; `more` goes with the JSON."""
    if not as_json:
        show_representation(representation)
        return
    print_json(
        {
            "name": representation.name,
            **more,
            "layers": [vars(layer) for layer in representation.layers],
            "examples": representation.n_examples,
            "batch_sizes": representation.batch_sizes,
            "accuracy": representation.accuracy,
            "problems": representation.problems,
            "skipped": representation.skipped,
            "options": representation.options,
        }
    )
