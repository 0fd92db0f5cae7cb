"""Some of the examples that a comparison was made on, read again from its data: for pictures of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data import ReadOptions, open_data
from cka_plugin.engine.reading import read_like
from cka_plugin.representation import Representation


def raw_examples(data: Any, like: Representation, places: Sequence[int]) -> dict[int, Any]:
    """Examples as they are in the data: images, texts, tensors, or tuples or mappings of such.

    Only what is asked for is read, where data can be read in any order.

    Args:
        data: what the representation was made on.
        like: the representation.
        places: of the examples wanted, in its `example_ids`.

    Returns:
        {place: example}; those whose content is no longer what it was are left out.

    Raises:
        ValueError, OSError: data that cannot be read, or lack examples.
    """
    wanted = sorted(set(places))
    if not wanted:
        return {}
    others = [place for place in range(like.n_examples) if place not in set(wanted)]
    wanted += others[: max(0, MIN_EXAMPLES - len(wanted))]  # of which a minibatch has at least so many
    source = open_data(data)
    read = read_like(like, ReadOptions())
    if source.any_order:
        read = replace(read, passes=1, like=(list(like.example_ids), [(0, np.array(wanted, dtype=np.int64))]))
    place_of = {example: place for place, example in enumerate(like.example_ids)}
    asked = set(places)
    found: dict[int, Any] = {}
    with contextlib.closing(source.batches(read)) as batches:  # type: ignore[type-var]
        for batch in batches:
            for example, fingerprint, value in zip(batch.ids, batch.fingerprints, batch.examples(), strict=True):
                place = place_of.get(example)
                if place in asked and fingerprint == like.fingerprints[place]:
                    found[place] = value
            if len(found) == len(asked):
                break
    return found
