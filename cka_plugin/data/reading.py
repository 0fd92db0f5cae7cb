"""How data are read: minibatches, passes, order, shards, what to do with what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import Ints


@dataclass(frozen=True)
class ReadOptions:
    """How to read.

    Attributes:
        batch_size: examples a minibatch; None for 64, or a loader's own.
        max_examples: read no more than so many different examples.
        passes: how often to go over the data, each time in a fresh order.
        seed: of the order.
        on_error: `raise` or `skip` examples that cannot be read.
        shard: (i, n): give only every n-th minibatch, starting at the i-th.
        like: read these examples in these minibatches: example ids, and per minibatch (pass, positions in the ids).
        finished: numbers of minibatches that need not be read again; a stream reads them all the same.
    """

    batch_size: int | None = None
    max_examples: int | None = None
    passes: int = 1
    seed: int = 0
    on_error: str = "raise"
    shard: tuple[int, int] | None = None
    like: tuple[list[Any], list[tuple[int, Ints]]] | None = None
    finished: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < MIN_EXAMPLES:
            raise ValueError(
                f"batch_size {self.batch_size}: unbiased CKA needs minibatches of at least {MIN_EXAMPLES} examples"
            )
        if self.max_examples is not None and self.max_examples < MIN_EXAMPLES:
            raise ValueError(f"max_examples {self.max_examples}: CKA needs at least {MIN_EXAMPLES} examples")
        if self.passes < 1:
            raise ValueError(f"passes {self.passes}: expected 1 or more")
        if self.on_error not in ("raise", "skip"):
            raise ValueError(f"on_error {self.on_error!r}: expected 'raise' or 'skip'")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            raise ValueError(f"shard {self.shard[0]}/{self.shard[1]}: expected I/N with 0 <= I < N")

    def mine(self, index: int) -> bool:
        """Whether the minibatch of this number is of our shard."""
        return self.shard is None or index % self.shard[1] == self.shard[0]
