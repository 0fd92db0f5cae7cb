"""Pictures of classes and single examples, and of what the data show of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cka_plugin.report.kinds.asked import Given, Results, two_of, unless_titled
from cka_plugin.report.plots.frame import Frame
from cka_plugin.report.seen import seen
from cka_plugin.representation import Representation
from cka_plugin.warnings import warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 192  # pixels of the longer side of an image: two thirds of an inch at 300 dpi


def draw_classes(results: Results, models: Given, frame: Frame, most: int = 20, **options: Any) -> Figure:
    from cka_plugin.report.plots.classes import classes

    a, b = two_of(results, models, "classes")
    found = results.errors(a, b, **options)
    said = f"{found.n_examples:,} examples; {found.level:.0%} intervals; corrected over {len(found.classes):,} classes"
    return classes(found, most, frame=unless_titled(results, frame, said))


def draw_examples(
    results: Results, models: Given, frame: Frame, data: Any = None, most: int = 20, **options: Any
) -> Figure:
    from cka_plugin.report.plots.examples import examples

    a, b = two_of(results, models, "examples")
    found = results.examples(a, b, **options)
    place_of = {example: place for place, example in enumerate(results[a].example_ids)}
    worst = [place_of[row.example_id] for row in found.examples[:most]]
    return examples(found, pictures_of(results, a, worst, data), most, frame=frame)


def pictures_of(results: Results, name: str, places: Sequence[int], data: Any = None) -> dict[Any, Any]:
    """Images and texts of examples by their ids, as far as the data are at hand.

    Args:
        results: with the data that it was made on, where it was made in this process.
        name: of a model.
        places: of the examples, in its `example_ids`.
        data: the data, where they are given again.
    """
    from cka_plugin.experiments.raw_examples import raw_examples

    given = results.data if data is None else data
    if given is None:
        return {}
    model = results[name]
    try:
        raw = raw_examples(given, model, places)
    except (ValueError, TypeError, OSError) as error:
        if data is not None:
            raise
        warn(f"the examples are shown by their ids: the data could not be read again: {error}")
        return {}
    return {model.example_ids[place]: seen(example, _SIDE) for place, example in raw.items()}


def class_of(model: Representation, place: int) -> str:
    if model.labels is None:
        return ""
    label = int(model.labels[place])
    names = model.label_names or model.class_names
    return str(names[label]) if names is not None and 0 <= label < len(names) else str(label)
