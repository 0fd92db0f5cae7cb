"""The first principal components of a model's layers, as evidence on what makes the layers alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.components.dominance import dominance
from cka_plugin.analysis.components.principal import components, squared_cosines
from cka_plugin.analysis.components.removal import cka_without_first_component
from cka_plugin.analysis.grams import GramVectors
from cka_plugin.core import Floats


@dataclass(frozen=True)
class FirstComponent:
    """What is known of the first principal components of a model's layers: the evidence on what makes layers alike.

    Attributes:
        share: (layers,) share of the variance; see `Components`.
        cosine: (layers, layers) squared cosine of the first components of two layers.
        matrix_without: (layers, layers) CKA with the first component of each layer removed; NaN where nothing remains.
        dominance: (layers, n_examples) how far each example lies along the component, unit mean square.
        example_ids: ids of the examples. Default: 0, 1, ...
        positions: which examples each minibatch of the first pass holds.
        participation_ratio: (layers,) effective number of components, unbiased (see `Components`), or None.
    """

    share: Floats
    cosine: Floats
    matrix_without: Floats
    dominance: Floats | None = None
    example_ids: Sequence[Any] | None = None
    positions: Sequence[npt.NDArray[np.int64]] | None = None
    participation_ratio: Floats | None = None

    @property
    def batch_size(self) -> int | None:
        """Examples in a minibatch (the median), on which shares depend."""
        return None if self.positions is None else int(np.median([len(chosen) for chosen in self.positions]))

    def example_id(self, position: int) -> Any:
        """The id of the example at a position."""
        return int(position) if self.example_ids is None else self.example_ids[position]


def first_component(grams: GramVectors, example_ids: Sequence[Any] | None = None) -> FirstComponent:
    """The evidence on first components that `find_block_structure` takes.

    Args:
        grams: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        example_ids: ids of the examples that positions count. Default: 0, 1, ...

    Raises:
        ValueError: no minibatches, or parts that do not fit together.
    """
    found = components(grams)
    count = None if example_ids is None else len(example_ids)
    first = min(grams.passes)
    return FirstComponent(
        share=found.share,
        cosine=squared_cosines(found),
        matrix_without=cka_without_first_component(grams, known=found).cka(),
        dominance=dominance(found, grams.positions, count),
        example_ids=example_ids,
        positions=[chosen for chosen, number in zip(grams.positions, grams.passes, strict=True) if number == first],
        participation_ratio=found.participation_ratio,
    )
