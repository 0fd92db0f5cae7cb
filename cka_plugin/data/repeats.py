"""Examples that come more than once: noticed by their content, left out where the user says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cka_plugin.data.numbers import Fingerprints, Ints
from cka_plugin.warnings import warn

NOTICED = 0.01  # a smaller share of repeats moves no number that is printed; large data sets have a few


class Repeats:
    """Counts examples whose content came before.

    Args:
        what: the data, for messages.
        policy: `warn` or `drop`.
    """

    def __init__(self, what: str, policy: str) -> None:
        self.what, self.drops = what, policy == "drop"
        self.seen: dict[int, Any] = {}
        self.total = self.again = 0

    def fresh(self, prints: Fingerprints, examples: Sequence[Any]) -> Ints:
        """Places of the examples to use: all of them, or only those whose content is new.

        Args:
            prints: (n,) fingerprints of the content.
            examples: n of what tells the same example in another pass from another example of the same content.
        """
        kept = []
        for place, (print_, example) in enumerate(zip(prints.tolist(), examples, strict=True)):
            first = self.seen.setdefault(print_, example) == example
            if first or not self.drops:
                kept.append(place)
            self.again += not first
        self.total += len(prints)
        return np.array(kept, dtype=np.int64)

    def warn(self) -> None:
        """Say, once all are read, how many came again."""
        if not self.total or self.again / self.total < NOTICED:
            return
        done = "they were left out" if self.drops else "give repeats='drop' to leave them out"
        warn(
            f"{self.again} of {self.total} examples of {self.what} ({self.again / self.total:.0%}) repeat the content "
            "of an earlier one, which makes CKA too large (a sampler with replacement? workers that each read all?): "
            f"{done}"
        )
