"""A minibatch as read, and how an order of examples is cut into minibatches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.adapters.base import Inputs, Preparation
from cka_plugin.core import MIN_EXAMPLES

DEFAULT_BATCH_SIZE = 64
Ints = npt.NDArray[np.int64]
Fingerprints = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Batch:
    """One minibatch, as read.

    Attributes:
        index: its number in the whole run.
        pass_index: which pass over the data.
        places: (n,) each example's place in the order of reading of the first pass.
        ids: n example ids.
        fingerprints: (n,) of the raw content.
        labels: (n,) int64, or None.
        kinds: what a raw example is: `("image",)`, `("text",)`, `("image", "text")`, ...; empty for ready inputs.
        raw: n raw examples, or None.
        inputs: inputs that all models take as they are, or None.
        skipped: ids that could not be read.
    """

    index: int
    pass_index: int
    places: Ints
    ids: list[Any]
    fingerprints: Fingerprints
    labels: Ints | None
    kinds: tuple[str, ...] = ()
    raw: list[Any] | None = None
    inputs: Inputs | None = None
    skipped: list[Any] = field(default_factory=list)
    _prepared: dict[str, Inputs] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.ids)

    def without_content(self) -> Batch:
        """What a representation keeps of it: which examples they were, not what they hold."""
        return replace(self, raw=None, inputs=None, _prepared={})

    def for_model(self, preparation: Preparation | None, name: str) -> Inputs:
        """The inputs of one model; models of one preparation share them.

        Raises:
            ValueError: the model does not say how to prepare such examples.
        """
        if self.inputs is not None:
            return self.inputs
        what = " and ".join(self.kinds)
        if preparation is None:
            raise ValueError(
                f"{name} does not say how to prepare {what} examples: give tensors, or "
                f"transforms={{{name!r}: function}} that makes a tensor of one example"
            )
        shared = [kind for kind in preparation.kinds if kind in self.kinds]
        if not shared:
            raise ValueError(f"{name} takes {' and '.join(preparation.kinds)} examples; given {what}")
        if preparation.key not in self._prepared:
            raw = self.raw or []
            if len(self.kinds) > 1:
                places = [self.kinds.index(kind) for kind in shared]
                raw = [example[places[0]] if len(places) == 1 else tuple(example[p] for p in places) for example in raw]
            self._prepared[preparation.key] = preparation.collate(raw)
        return self._prepared[preparation.key]


def split(order: Ints, batch_size: int) -> list[Ints]:
    """Cut an order into minibatches; a last one of fewer than 4 joins the one before it.

    Example:
        >>> [len(part) for part in split(np.arange(19), 8)], [len(part) for part in split(np.arange(20), 8)]
        ([8, 11], [8, 8, 4])
    """
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if len(parts) > 1 and len(parts[-1]) < MIN_EXAMPLES:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
