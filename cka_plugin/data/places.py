"""Which place an example of a stream has in the order of the first pass, and its id."""

from __future__ import annotations

from typing import Any

import numpy as np

from cka_plugin.data.numbers import Ints
from cka_plugin.data.pieces import Piece


class Places:
    """Which place each example has in the order of the first pass, and its id."""

    def __init__(self) -> None:
        self.total = 0
        self._ids: list[Any] = []
        self._counts: dict[int, int] = {}
        self._seen: dict[int, list[int]] = {}
        self._left: dict[int, list[int]] = {}
        self._first = True

    def start(self, number: int) -> None:
        """Begin a pass."""
        self._first = number == 0
        self._left = {key: list(places) for key, places in self._seen.items()}

    def ids_of(self, places: Ints) -> list[Any]:
        """Ids of examples by their places."""
        return [self._ids[place] for place in places]

    def of(self, piece: Piece) -> Ints:
        """Places of examples: new ones in the first pass, later known again by their fingerprints."""
        if not self._first:
            return self._again(piece)
        places = np.arange(self.total, self.total + len(piece), dtype=np.int64)
        for place, key in zip(places.tolist(), piece.prints.tolist(), strict=True):
            self._seen.setdefault(key, []).append(place)
            self._ids.append(self._unique(place if piece.ids is None else piece.ids[place - self.total]))
        self.total += len(piece)
        return places

    def _unique(self, index: int) -> Any:
        """A place in the data set; what comes again (a sampler with replacement) is told apart."""
        self._counts[index] = self._counts.get(index, 0) + 1
        return index if self._counts[index] == 1 else f"{index}#{self._counts[index]}"

    def _again(self, piece: Piece) -> Ints:
        places = []
        for key in piece.prints.tolist():
            left = self._left.get(key)
            if not left:
                raise ValueError(
                    "a later pass over the loader gave an example that the first did not (random augmentation?): fix "
                    "the examples, or give passes=1"
                )
            places.append(left.pop(0))
        return np.array(places, dtype=np.int64)
