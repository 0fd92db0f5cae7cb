"""Examples that can be read in any order, and are read in one seeded random order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Inputs
from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import DEFAULT_BATCH_SIZE, Batch, Fingerprints, Ints, split
from cka_plugin.data.labels import label_numbers
from cka_plugin.data.reading import MissingExamplesError, ReadOptions


@dataclass
class Read:
    """Some examples, read: raw or as ready inputs."""

    fingerprints: Fingerprints
    labels: Ints | None
    raw: list[Any] | None = None
    inputs: Inputs | None = None
    failed: list[int] = field(default_factory=list)  # which of those asked for are left out


class Indexed:
    """Examples that can be read in any order.

    Args:
        ids: one id an example.
        read: positions and `on_error` to what is read there.
        kinds: the kinds of raw example; empty for ready inputs.
        labels: (n,) where they are known without reading, or None.
        label_names: names of the labels, or None.
        what: what this is, for messages, such as `the folder photos/`.
        users_code: reading runs code that is not ours (a data set's), which may draw random numbers.
    """

    def __init__(
        self,
        ids: Sequence[Any],
        read: Callable[[Ints, str], Read],
        kinds: tuple[str, ...] = (),
        labels: Ints | None = None,
        label_names: list[str] | None = None,
        what: str = "the data",
        users_code: bool = False,
    ) -> None:
        self.ids = list(ids)
        self.kinds = kinds
        self.labels = labels
        self.label_names = label_names
        self.what = what
        self.users_code = users_code
        self.any_order = True
        self._read = read

    def __len__(self) -> int:
        return len(self.ids)

    def with_labels(self, labels: Any) -> Indexed:
        """The same with labels from elsewhere: in the order of the examples, or a mapping from their ids.

        Raises:
            ValueError: another number of labels than examples, or an id without one.
        """
        numbers, names = label_numbers(labels, self.ids)
        return Indexed(self.ids, self._read, self.kinds, numbers, names, self.what, self.users_code)

    def plan(self, options: ReadOptions) -> list[tuple[int, Ints]]:
        """Which examples make up which minibatch: (pass, positions), the same for all models and shards."""
        if options.like is not None:
            ids, minibatches = options.like
            place = {example: position for position, example in enumerate(self.ids)}
            unknown = [example for example in ids if example not in place]
            if unknown:
                raise MissingExamplesError(
                    f"{self.what} lacks {len(unknown)} of the {len(ids)} examples to compare on, such as {unknown[0]!r}"
                )
            order = np.array([place[example] for example in ids], dtype=np.int64)
            return [(number, order[positions]) for number, positions in minibatches]
        chosen = np.random.default_rng(options.seed).permutation(len(self))[: options.max_examples]
        if len(chosen) < MIN_EXAMPLES:
            raise ValueError(f"{self.what} holds {len(self)} examples: CKA needs at least {MIN_EXAMPLES}")
        planned = []
        for number in range(options.passes):
            order = chosen if number == 0 else np.random.default_rng([options.seed, number]).permutation(chosen)
            planned += [(number, part) for part in split(order, options.batch_size or DEFAULT_BATCH_SIZE)]
        return planned

    def count(self, options: ReadOptions) -> tuple[int, int]:
        planned = self.plan(options)
        mine = [part for index, (_, part) in enumerate(planned) if options.mine(index)]
        return sum(len(part) for part in mine), len(mine)

    def planned(self, options: ReadOptions) -> list[Any]:
        parts = [part for _, part in self.plan(options)]
        return [self.ids, *parts, [len(part) for part in parts]]

    def identity(self, options: ReadOptions) -> dict[str, list[Any]]:
        with contextlib.closing(self.batches(options)) as batches:  # type: ignore[type-var]
            return {"data": [*self.planned(options), next(batches).fingerprints]}

    def batches(self, options: ReadOptions) -> Iterator[Batch]:
        planned = self.plan(options)
        places: dict[int, int] = {}
        for _, part in planned:
            for position in part:
                places.setdefault(int(position), len(places))
        for index, (number, part) in enumerate(planned):
            if not options.mine(index) or index in options.finished:
                continue
            read = self._read(part, options.on_error)
            failed = set(read.failed)
            kept = np.array([p for place, p in enumerate(part) if place not in failed], dtype=np.int64)
            if len(kept) < MIN_EXAMPLES:
                raise ValueError(
                    f"minibatch {index} of {self.what} has {len(kept)} readable examples left: it needs "
                    f"{MIN_EXAMPLES}; give a larger batch_size"
                )
            yield Batch(
                index,
                number,
                np.array([places[int(p)] for p in kept], dtype=np.int64),
                [self.ids[p] for p in kept],
                read.fingerprints,
                read.labels if self.labels is None else self.labels[kept],
                self.kinds,
                read.raw,
                read.inputs,
                [self.ids[part[place]] for place in read.failed],
            )
