"""What the rest of the package asks of data, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from cka_plugin.data.batches import Batch
from cka_plugin.data.indexed import Reader
from cka_plugin.data.reading import ReadOptions


class Source(Protocol):
    """Data that can be read in minibatches.

    Attributes:
        what: what this is, for messages, such as `the folder photos/`.
        label_names: names of the labels, or None.
        kinds: the kinds of raw example; empty for ready inputs.
        any_order: its examples are known beforehand and can be read in any order, so that minibatches may be left out;
            otherwise all are read, in their own order.
        users_code: reading runs code that is not ours (a data set's), which may draw random numbers.
    """

    what: str
    label_names: list[str] | None
    kinds: tuple[str, ...]
    any_order: bool
    users_code: bool

    def count(self, options: ReadOptions) -> tuple[int | None, int | None]:
        """(examples, minibatches) that reading would give, all passes; None where it is not known before."""

    def batches(self, options: ReadOptions, reader: Reader | None = None) -> Iterator[Batch]:
        """Read; by `reader`, where examples can be read in any order."""

    def with_labels(self, labels: Any) -> Source:
        """The same with labels from elsewhere."""

    def planned(self, options: ReadOptions) -> list[Any]:
        """Which examples make up which minibatch, as plain data to be hashed; empty where only reading tells."""

    def identity(self, options: ReadOptions) -> dict[str, list[Any]]:
        """What must be the same on all processes that share a run: what it is -> plain data to be hashed.

        Of data with an order of its own, what the last reading gave.
        """
