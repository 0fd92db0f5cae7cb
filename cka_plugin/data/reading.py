"""How data are read: minibatches, passes, order, shards, what to do with what cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from cka_plugin.data.content import Key
from cka_plugin.data.numbers import Ints
from cka_plugin.options import Options, check_option


class MissingExamplesError(ValueError):
    """The data lack examples that they are to be read like."""


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
        label_key: the name or place of the member that holds the labels; None finds it.
        repeats: `warn` of examples that come more than once, or `drop` them.
    """

    batch_size: int | None = None
    max_examples: int | None = None
    passes: int = 1
    seed: int = 0
    on_error: str = "raise"
    shard: tuple[int, int] | None = None
    like: tuple[list[Any], list[tuple[int, Ints]]] | None = None
    finished: frozenset[int] = frozenset()
    label_key: Key = None
    repeats: str = "warn"

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_examples", "passes", "seed", "on_error", "shard", "label_key", "repeats"):
            check_option(name, getattr(self, name))

    @classmethod
    def of(cls, options: Options) -> ReadOptions:
        """How to read, of the options of a call: those of the same names."""
        return cls(**{each.name: getattr(options, each.name) for each in fields(cls) if hasattr(options, each.name)})

    def mine(self, index: int) -> bool:
        """Whether the minibatch of this number is of our shard."""
        return self.shard is None or index % self.shard[1] == self.shard[0]
