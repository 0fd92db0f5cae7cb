"""The examples of a check, again: for the pictures of those that moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from cka_plugin.experiments.raw_examples import raw_examples
from cka_plugin.regression.stored import Baseline
from cka_plugin.representation import Representation


def reader(baseline: Baseline, made: Representation, data: Any) -> Callable[[Sequence[Any]], dict[Any, Any]] | None:
    """What gives examples by their ids, as they are in the data; None where neither data nor kept examples are there.

    Args:
        baseline: of the check.
        made: what the model made; only which examples they were is kept of it.
        data: of the check.
    """
    if data is None and baseline.examples is None:
        return None
    places = {example: place for place, example in enumerate(made.example_ids)}
    light = replace(made.of_layers([]), logits=None)

    def read(ids: Sequence[Any]) -> dict[Any, Any]:
        wanted = [places[example] for example in ids if example in places]
        if data is None:
            return {made_id: _kept(baseline.examples, places[made_id]) for made_id in ids if made_id in places}
        return {light.example_ids[place]: value for place, value in raw_examples(data, light, wanted).items()}

    return read


def _kept(examples: Any, place: int) -> Any:
    """One of the examples that a baseline keeps: tensors, a mapping of tensors, or a list."""
    if isinstance(examples, Mapping):
        return {key: value[place] for key, value in examples.items()}
    return examples[place] if isinstance(examples, Tensor | list) else None
