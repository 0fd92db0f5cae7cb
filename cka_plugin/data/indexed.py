"""Examples that can be read in any order, and are read in one seeded random order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import DEFAULT_BATCH_SIZE, Batch, raw_kinds, split
from cka_plugin.data.content import Content, joined
from cka_plugin.data.empty import without_empty
from cka_plugin.data.fingerprints import fingerprints_of
from cka_plugin.data.labels import label_numbers
from cka_plugin.data.numbers import Fingerprints, Ints
from cka_plugin.data.raw import Rows, RowsKey, joined_rows
from cka_plugin.data.reading import MissingExamplesError, ReadOptions
from cka_plugin.data.repeats import Repeats
from cka_plugin.data.roles import Choice, label_choices, meant


@dataclass(frozen=True)
class Read:
    """Some examples, read.

    Attributes:
        content: what they hold; None where none could be read.
        failed: which of those asked for are left out, by their place among them.
        fingerprints: (n,) where they are not those of the content (the bytes of a file).
        rows: what the steps of preparations made of each, where they were made already.
    """

    content: Content | None
    failed: list[int] = field(default_factory=list)
    fingerprints: Fingerprints | None = None
    rows: Mapping[RowsKey, Rows] = field(default_factory=dict)


Reads: TypeAlias = Callable[[Ints, str], Read]  # positions and `on_error` to what is read there


class Reader(Protocol):
    """Reads minibatches ahead, by several workers."""

    def __call__(self, read: Reads, parts: Sequence[Ints], on_error: str) -> Iterator[Read]:
        """What `read` gives for each of the minibatches, in their order."""


@dataclass(eq=False)
class Indexed:
    """Examples that can be read in any order.

    Attributes:
        ids: one id an example.
        read: positions and `on_error` to what is read there.
        what: what this is, for messages, such as `the folder photos/`.
        labels: (n,) where they are known without reading, or None.
        label_names: names of the labels, or None.
        users_code: reading runs code that is not ours (a data set's), which may draw random numbers.
        kinds: the kinds of raw example, where they are known without reading.
    """

    ids: Sequence[Any]
    read: Reads
    what: str = "the data"
    _: KW_ONLY
    labels: Ints | None = None
    label_names: list[str] | None = None
    users_code: bool = False
    kinds: tuple[str, ...] = ()

    any_order = True

    def __post_init__(self) -> None:
        self.ids = list(self.ids)
        self._fresh: dict[Any, Ints] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def with_labels(self, labels: Any) -> Indexed:
        """The same with labels from elsewhere: in the order of the examples, or a mapping from their ids.

        Raises:
            ValueError: another number of labels than examples, or an id without one.
        """
        numbers, names = label_numbers(labels, self.ids)
        return replace(self, labels=numbers, label_names=names)

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
        chosen = np.random.default_rng(options.seed).permutation(len(self))
        if options.repeats == "drop":
            chosen = self._without_repeats(chosen, options)
        chosen = chosen[: options.max_examples]
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

    def batches(self, options: ReadOptions, reader: Reader | None = None) -> Iterator[Batch]:
        planned = self.plan(options)
        places: dict[int, int] = {}
        for _, part in planned:
            for position in part:
                places.setdefault(int(position), len(places))
        repeats = Repeats(self.what, "warn")
        mine = [index for index in range(len(planned)) if options.mine(index) and index not in options.finished]
        reads = (reader or _one_by_one)(self.read, [planned[index][1] for index in mine], options.on_error)
        for index, read in zip(mine, reads, strict=True):
            number, part = planned[index]
            failed = set(read.failed)
            kept = np.array([p for place, p in enumerate(part) if place not in failed], dtype=np.int64)
            content, prints, choices = self._parts(read, options, index)
            rows = read.rows
            again: Callable[[], Content] | None = partial(self._again, part, options.on_error)
            failed_ids = [self.ids[part[place]] for place in read.failed]
            if content is not None:
                content, full = without_empty(content, options.on_error, self.what, [self.ids[p] for p in kept])
                if len(full) < len(kept):
                    failed_ids += [self.ids[int(p)] for p in np.delete(kept, full)]
                    prints, kept = prints[full], kept[full]
                    choices = [(key, classes[full]) for key, classes in choices]
                    rows, again = {}, None  # texts: of which no rows are made
            if number == 0 and content is not None:
                repeats.fresh(prints, kept.tolist())
            if content is None or len(kept) < MIN_EXAMPLES:
                raise ValueError(
                    f"minibatch {index} of {self.what} has {len(kept)} examples left to use: it needs {MIN_EXAMPLES}; "
                    "give a larger batch_size"
                )
            own = choices[0][1] if choices else None
            labels = self._apart(options)
            yield Batch(
                index,
                number,
                np.array([places[int(p)] for p in kept], dtype=np.int64),
                [self.ids[p] for p in kept],
                prints,
                own if labels is None else labels[kept],
                content,
                tuple(choices),
                failed_ids,
                labels_apart=labels is not None,
                rows=rows,
                again=again,
            )
        repeats.warn()

    def _again(self, part: Ints, on_error: str) -> Content:
        content = self.read(part, on_error).content
        assert content is not None
        return content

    def _without_repeats(self, order: Ints, options: ReadOptions) -> Ints:
        """The examples whose content no earlier one has, in this order; for that all are read once."""
        key = (options.seed, options.on_error)
        if key not in self._fresh:
            repeats = Repeats(self.what, options.repeats)
            kept: list[int] = []
            for part in split(order, DEFAULT_BATCH_SIZE):
                read = self.read(part, options.on_error)
                known = np.delete(part, read.failed)
                fresh = repeats.fresh(self._parts(read, options, 0)[1], known.tolist())
                kept += [*known[fresh].tolist(), *part[read.failed].tolist()]
            repeats.warn()
            self._fresh[key] = np.array(kept, dtype=np.int64)
        return self._fresh[key]

    def _apart(self, options: ReadOptions) -> Ints | None:
        """Labels known without reading, unless the user says which member holds them."""
        return self.labels if options.label_key is None else None

    def _parts(self, read: Read, options: ReadOptions, index: int) -> tuple[Content | None, Fingerprints, list[Choice]]:
        if read.content is None:
            return None, np.zeros(0, dtype=np.uint64), []
        try:
            choices = label_choices(read.content, options.label_key)
        except ValueError as error:
            if self._apart(options) is None:
                raise ValueError(f"{self.what}, minibatch {index}: {error}") from error
            choices = []
        prints = read.fingerprints
        if prints is None:
            prints = fingerprints_of(meant(read.content, choices[0][0] if choices else None))
        return read.content, prints, choices


def _one_by_one(read: Reads, parts: Sequence[Ints], on_error: str) -> Iterator[Read]:
    for part in parts:
        yield read(part, on_error)


def joined_reads(parts: Sequence[Read], sizes: Sequence[int]) -> Read:
    """Parts of a minibatch that were read apart, one after the other.

    Args:
        parts: them.
        sizes: how many examples were asked for in each.
    """
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    failed = [start + place for start, part in zip(starts, parts, strict=True) for place in part.failed]
    there = [part for part in parts if part.content is not None]
    if not there:
        return Read(None, failed)
    prints = [part.fingerprints for part in there if part.fingerprints is not None]
    return Read(
        joined([part.content for part in there if part.content is not None]),
        failed,
        np.concatenate(prints) if len(prints) == len(there) else None,
        joined_rows([part.rows for part in there]),
    )


def held(
    content: Content,
    what: str,
    ids: Sequence[Any] | None = None,
    labels: Ints | None = None,
    label_names: list[str] | None = None,
) -> Indexed:
    """Examples held in memory; their labels, where they are among the members, get their numbers once for all."""
    if labels is None:
        content, label_names = _numbered(content)

    def read(positions: Ints, on_error: str) -> Read:
        return Read(content.take(positions))

    return Indexed(
        range(content.n) if ids is None else ids,
        read,
        what,
        labels=labels,
        label_names=label_names,
        kinds=raw_kinds(content),
    )


def _numbered(content: Content) -> tuple[Content, list[str] | None]:
    """The same with words as labels given their numbers, and the words."""
    choices = label_choices(content)
    if not choices or choices[0][1].dtype.kind != "U":
        return content, None
    numbers, names = label_numbers(choices[0][1])
    members = [
        replace(member, values=torch.from_numpy(numbers)) if member.key == choices[0][0] else member
        for member in content.members
    ]
    return replace(content, members=tuple(members)), names
