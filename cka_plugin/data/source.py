"""Data: what the user gave, as minibatches of examples with stable ids and content fingerprints.

Folders, data sets, arrays, texts and files can be read in any order (`Examples`) and are read in one seeded random
order; a
`DataLoader` is read in its own (`cka_plugin.data.streams`). Raw examples (images, texts, sound) are prepared for each
model apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cka_plugin.adapters.base import Inputs, Preparation
from cka_plugin.core.kernels import MIN_EXAMPLES

DEFAULT_BATCH_SIZE = 64

Ints = npt.NDArray[np.int64]
Fingerprints = npt.NDArray[np.uint64]


@dataclass
class Batch:
    """One minibatch, as read.

    Attributes:
        index: its number in the whole run.
        pass_index: which pass over the data.
        ranks: (n,) each example's place in the order of reading of the first pass.
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
    ranks: Ints
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
                f"transforms={{{name!r}: function}} "
                "that makes a tensor of one example"
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


class Source(Protocol):
    """Data that can be read in minibatches."""

    label_names: list[str] | None
    kinds: tuple[str, ...]

    def count(self, options: ReadOptions) -> tuple[int | None, int | None]:
        """(examples, minibatches) that reading would give, all passes; None where it is not known before."""

    def batches(self, options: ReadOptions) -> Iterator[Batch]:
        """Read."""


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


@dataclass
class Read:
    """Some examples, read: raw or as ready inputs."""

    fingerprints: Fingerprints
    labels: Ints | None
    raw: list[Any] | None = None
    inputs: Inputs | None = None
    failed: list[int] = field(default_factory=list)  # which of those asked for are left out


class Examples:
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
        self._read = read

    def __len__(self) -> int:
        return len(self.ids)

    def with_labels(self, labels: Any) -> Examples:
        """The same with labels from elsewhere: in the order of the examples, or a mapping from their ids.

        Raises:
            ValueError: another number of labels than examples, or an id without one.
        """
        numbers, names = label_numbers(labels, self.ids)
        return Examples(self.ids, self._read, self.kinds, numbers, names, self.what, self.users_code)

    def plan(self, options: ReadOptions) -> list[tuple[int, Ints]]:
        """Which examples make up which minibatch: (pass, positions), the same for all models and shards."""
        if options.like is not None:
            ids, minibatches = options.like
            place = {example: position for position, example in enumerate(self.ids)}
            unknown = [example for example in ids if example not in place]
            if unknown:
                raise ValueError(
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

    def batches(self, options: ReadOptions) -> Iterator[Batch]:
        planned = self.plan(options)
        rank: dict[int, int] = {}
        for _, part in planned:
            for position in part:
                rank.setdefault(int(position), len(rank))
        for index, (number, part) in enumerate(planned):
            if not options.mine(index) or index in options.finished:
                continue
            read = self._read(part, options.on_error)
            failed = set(read.failed)
            kept = np.array([p for place, p in enumerate(part) if place not in failed], dtype=np.int64)
            if len(kept) < MIN_EXAMPLES:
                raise ValueError(
                    f"minibatch {index} of {self.what} has {len(kept)} readable examples left: it needs "
                    f"{MIN_EXAMPLES}; "
                    "give a larger batch_size"
                )
            yield Batch(
                index,
                number,
                np.array([rank[int(p)] for p in kept], dtype=np.int64),
                [self.ids[p] for p in kept],
                read.fingerprints,
                read.labels if self.labels is None else self.labels[kept],
                self.kinds,
                read.raw,
                read.inputs,
                [self.ids[part[place]] for place in read.failed],
            )


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


def label_numbers(labels: Any, ids: Sequence[Any] | None = None) -> tuple[Ints, list[str] | None]:
    """Labels as class numbers, and their names where they were given as names (sorted).

    Raises:
        ValueError: labels of another length than the ids, an id without a label, or labels that are no classes.

    Example:
        >>> label_numbers(["dog", "cat", "dog"])
        (array([1, 0, 1]), ['cat', 'dog'])
    """
    if isinstance(labels, Mapping):
        if ids is None:
            raise ValueError("labels by example id need data with ids: give them in the order of the examples")
        missing = [example for example in ids if example not in labels]
        if missing:
            raise ValueError(f"no label for {len(missing)} of {len(ids)} examples, such as {missing[0]!r}")
        labels = [labels[example] for example in ids]
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(
            f"labels have shape {values.shape}: expected one class an example (multi-label is not supported)"
        )
    if ids is not None and len(values) != len(ids):
        raise ValueError(
            f"given {len(values)} labels for {len(ids)} examples: expected one an example, in the same order"
        )
    if values.dtype.kind in "USO":
        names = sorted({str(value) for value in values})
        place = {name: number for number, name in enumerate(names)}
        return np.array([place[str(value)] for value in values], dtype=np.int64), names
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise ValueError(
            f"labels are not whole numbers (such as {values[values != np.round(values)][0]}): expected classes"
        )
    return values.astype(np.int64), None


def fingerprint(*parts: bytes) -> int:
    """A 64-bit content fingerprint (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def fingerprint_raw(example: Any) -> int:
    """The fingerprint of a raw example: an image, a text, an array, a tensor, or a tuple of them."""
    return fingerprint(*_content(example))


def _content(example: Any) -> Iterator[bytes]:
    if isinstance(example, str):
        yield example.encode("utf-8")
    elif isinstance(example, bytes):
        yield example
    elif isinstance(example, Tensor):
        yield example.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(example, Mapping):
        for key in sorted(example):
            yield str(key).encode("utf-8")
            yield from _content(example[key])
    elif isinstance(example, list | tuple):
        for part in example:
            yield from _content(part)
    elif hasattr(example, "tobytes"):  # numpy arrays and PIL images
        yield repr((getattr(example, "mode", ""), getattr(example, "size", ""))).encode()
        yield example.tobytes()
    else:
        yield repr(example).encode("utf-8")


def fingerprints_of(inputs: Inputs, n: int) -> Fingerprints:
    """Fingerprints of each of n examples in ready inputs: the rows of every tensor among them."""
    return np.array([fingerprint_raw(row) for row in rows_of(inputs, n)], dtype=np.uint64)


def rows_of(inputs: Inputs, n: int) -> Iterable[Any]:
    """The examples in ready inputs, one after the other."""
    if isinstance(inputs, Tensor):
        return inputs
    if isinstance(inputs, Mapping):
        held = {key: value for key, value in inputs.items() if isinstance(value, Tensor) and _holds(value, n)}
        return ({key: value[i] for key, value in held.items()} for i in range(n))
    parts = [value for value in inputs if isinstance(value, Tensor) and _holds(value, n)]
    return (tuple(value[i] for value in parts) for i in range(n))


def _holds(value: Tensor, n: int) -> bool:
    return value.ndim > 0 and len(value) == n


def size_of(inputs: Inputs) -> int:
    """How many examples ready inputs hold.

    Raises:
        ValueError: there is no tensor among them.
    """
    values: Iterable[Any] = inputs.values() if isinstance(inputs, Mapping) else inputs
    if isinstance(inputs, Tensor):
        values = [inputs]
    for value in values:
        if isinstance(value, Tensor) and value.ndim > 0:
            return len(value)
    raise ValueError(
        f"a minibatch without tensors: {type(inputs).__name__}; expected a tensor, a tuple or a mapping of tensors"
    )


def open_data(data: Any, labels: Any = None) -> Source:
    """What the user gave as `data`, ready to be read.

    Raises:
        ValueError, TypeError, FileNotFoundError: it cannot be: the message says what was given and what is expected.
    """
    from cka_plugin.data import readers, streams

    if data is None:
        raise ValueError(
            "data is missing: give a folder of images, a DataLoader, a Dataset, tensors, a list of texts, a file, or "
            "data='sample:digits' to try"
        )
    if streams.is_stream(data):
        return streams.Stream(data, labels)
    source = readers.examples(data)
    if len(source) == 0:
        raise ValueError(f"{source.what} holds no examples")
    return source if labels is None else source.with_labels(readers.read_labels(labels))
