"""Data that is read in its own order: a `DataLoader`, an iterable data set, any iterable of minibatches."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from cka_plugin.adapters.base import Inputs
from cka_plugin.core.kernels import MIN_EXAMPLES
from cka_plugin.data.source import (
    DEFAULT_BATCH_SIZE,
    Batch,
    ReadOptions,
    fingerprint_raw,
    fingerprints_of,
    label_numbers,
    size_of,
)

LABEL_KEYS = ("labels", "label", "targets", "target", "fine_label", "y")


def is_stream(data: Any) -> bool:
    """Whether `data` is read in its own order: a loader, an iterable data set, a generator."""
    if isinstance(data, DataLoader | IterableDataset):
        return True
    if isinstance(data, str | bytes | list | tuple | Mapping | Tensor | np.ndarray | Dataset) or hasattr(
        data, "__array__"
    ):
        return False
    return hasattr(data, "__iter__") and not (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


class Stream:
    """A loader of minibatches, read in its own order; ids are 0, 1, ... in that order.

    A loader that shuffles is read in the same order by every call: its generator is put back afterwards, and where
    it has
    none, the global random state is seeded for it.
    """

    def __init__(self, loader: Iterable[Any], labels: Any = None) -> None:
        self.loader = loader
        self.label_names: list[str] | None = None
        self.kinds: tuple[str, ...] = ()
        self.digest = b""  # of the fingerprints of all that the last reading gave, in order
        self._labels = None
        if labels is not None:
            if self.shuffles:
                raise ValueError(
                    "labels given apart from a DataLoader that shuffles have no order: let the loader give (x, label)"
                )
            from cka_plugin.data.readers import read_labels

            self._labels, self.label_names = label_numbers(read_labels(labels))

    @property
    def shuffles(self) -> bool:
        """Whether the loader draws its order at random."""
        sampler = getattr(self.loader, "sampler", None)
        inner = getattr(getattr(self.loader, "batch_sampler", None), "sampler", None)
        return isinstance(sampler, RandomSampler) or isinstance(inner, RandomSampler)

    def count(self, options: ReadOptions) -> tuple[int | None, int | None]:
        return None, None

    def batches(self, options: ReadOptions) -> Iterator[Batch]:
        if options.passes > 1 and not self._fresh_orders():
            raise ValueError(
                f"passes={options.passes} needs data that can be read in a fresh order each time; this loader "
                "reads in its own: "
                "give shuffle=True, or the data set itself"
            )
        seen: dict[int, list[int]] = {}
        index = 0
        total = 0
        self.digest = b""
        with _repeatable(self.loader, options.seed):
            for number in range(options.passes):
                remaining = {key: list(ranks) for key, ranks in seen.items()}
                for raw, inputs, labels, prints in self._minibatches(options):
                    n = len(prints)
                    self.digest = hashlib.blake2b(self.digest + prints.tobytes(), digest_size=16).digest()
                    if number == 0:
                        ranks = np.arange(total, total + n, dtype=np.int64)
                        for rank, key in zip(ranks, prints, strict=True):
                            seen.setdefault(int(key), []).append(int(rank))
                        total += n
                    else:
                        ranks = _places(prints, remaining)
                    if self._labels is not None:
                        if total > len(self._labels):
                            raise ValueError(f"given {len(self._labels)} labels for {total} or more examples")
                        labels = self._labels[ranks]
                    if options.mine(index):
                        kinds = () if raw is None else _kinds_of(raw[0])
                        yield Batch(index, number, ranks, [int(r) for r in ranks], prints, labels, kinds, raw, inputs)
                    index += 1
                if (
                    number == 0
                    and self._labels is not None
                    and total != len(self._labels)
                    and options.max_examples is None
                ):
                    raise ValueError(f"given {len(self._labels)} labels for {total} examples")

    def _fresh_orders(self) -> bool:
        return self.shuffles

    def _minibatches(self, options: ReadOptions) -> Iterator[tuple[list[Any] | None, Inputs | None, Any, Any]]:
        """Minibatches of the wanted size; the last one held back, so that a tail of fewer than 4 can join it."""
        held: _Piece | None = None
        pieces = self._pieces(options)
        for piece in pieces if options.batch_size is None and self._batched() else _regrouped(pieces, options):
            if held is not None:
                if len(piece) < MIN_EXAMPLES:
                    held = _joined([held, piece])
                    continue
                yield held.parts()
            held = piece
        if held is None:
            raise ValueError("the loader gave no examples")
        if len(held) < MIN_EXAMPLES:
            raise ValueError(f"the loader gave {len(held)} examples: CKA needs at least {MIN_EXAMPLES}")
        yield held.parts()

    def _batched(self) -> bool:
        return (not isinstance(self.loader, IterableDataset) and getattr(self.loader, "batch_size", 0) is not None) or (
            getattr(self.loader, "batch_sampler", None) is not None
        )

    def _pieces(self, options: ReadOptions) -> Iterator[_Piece]:
        left = options.max_examples
        for batch in self.loader:
            piece = _Piece.of(batch if self._batched() else _one(batch))
            if left is not None:
                piece = piece.cut(0, min(left, len(piece)))
                left -= len(piece)
            if len(piece):
                yield piece
            if left == 0:
                return


class _Piece:
    """Some consecutive examples of a stream: raw examples or ready inputs, labels, fingerprints."""

    def __init__(self, raw: list[Any] | None, inputs: Inputs | None, labels: Any, prints: Any) -> None:
        self.raw, self.inputs, self.labels, self.prints = raw, inputs, labels, prints

    def __len__(self) -> int:
        return len(self.prints)

    def parts(self) -> tuple[list[Any] | None, Inputs | None, Any, Any]:
        return self.raw, self.inputs, self.labels, self.prints

    @staticmethod
    def of(batch: Any) -> _Piece:
        """What a loader gave: a tensor, (x,), (x, y), a mapping, or raw examples in their place."""
        inputs, labels = split_labels(batch)
        if isinstance(inputs, list | tuple) and inputs and not isinstance(inputs[0], Tensor):
            raw = list(inputs)
            prints = np.array([fingerprint_raw(example) for example in raw], dtype=np.uint64)
            return _Piece(raw, None, labels, prints)
        if not isinstance(inputs, Tensor | tuple | Mapping):
            raise TypeError(
                f"the loader gave a minibatch of {type(inputs).__name__}: expected a tensor, (x, y), a mapping of "
                "tensors, or "
                "lists of images or texts"
            )
        n = size_of(inputs)
        if labels is not None and len(labels) != n:
            raise ValueError(f"a minibatch of {n} examples came with {len(labels)} labels")
        return _Piece(None, inputs, labels, fingerprints_of(inputs, n))

    def cut(self, start: int, stop: int) -> _Piece:
        if start == 0 and stop == len(self):
            return self
        n = len(self)
        inputs = self.inputs

        def rows(value: Any) -> Any:
            return value[start:stop] if isinstance(value, Tensor) and value.ndim and len(value) == n else value

        if isinstance(inputs, Mapping):
            inputs = {key: rows(value) for key, value in inputs.items()}
        elif isinstance(inputs, tuple):
            inputs = tuple(rows(value) for value in inputs)
        elif inputs is not None:
            inputs = rows(inputs)
        raw = None if self.raw is None else self.raw[start:stop]
        labels = None if self.labels is None else self.labels[start:stop]
        return _Piece(raw, inputs, labels, self.prints[start:stop])


def split_labels(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a minibatch; labels are None where it has none that are classes."""
    if isinstance(batch, Mapping):
        rest = {key: value for key, value in batch.items() if key not in LABEL_KEYS}
        found = next((batch[key] for key in LABEL_KEYS if key in batch), None)
        raw = [
            value
            for value in rest.values()
            if isinstance(value, list | tuple) and value and not isinstance(value[0], Tensor)
        ]
        if len(raw) == 1 and len(rest) == 1:
            return raw[0], _classes(found)
        return rest, _classes(found)
    if isinstance(batch, list | tuple) and batch and isinstance(batch[0], Tensor | Mapping | list | tuple):
        inputs = batch[0]
        return inputs, _classes(batch[1]) if len(batch) > 1 else None
    return batch, None


def _classes(labels: Any) -> Any:
    if isinstance(labels, Tensor) and not labels.is_floating_point() and labels.numel() == len(labels):
        return labels.detach().flatten().cpu().numpy().astype(np.int64)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iub" and labels.ndim == 1:
        return labels.astype(np.int64)
    if isinstance(labels, list | tuple) and labels and all(isinstance(label, int) for label in labels):
        return np.array(labels, dtype=np.int64)
    return None  # regression targets, several labels an example, sequences: not classes


def _one(example: Any) -> Any:
    """A single example as a minibatch of one."""
    if isinstance(example, Tensor):
        return example.unsqueeze(0)
    if isinstance(example, Mapping):
        return {key: _one(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(_one(value) for value in example)
    if isinstance(example, int | np.integer):
        return torch.tensor([int(example)])
    return [example]


def _regrouped(pieces: Iterable[_Piece], options: ReadOptions) -> Iterator[_Piece]:
    size = options.batch_size or DEFAULT_BATCH_SIZE
    waiting: list[_Piece] = []
    for piece in chain(pieces):
        waiting.append(piece)
        while sum(len(p) for p in waiting) >= size:
            whole = _joined(waiting)
            yield whole.cut(0, size)
            rest = whole.cut(size, len(whole))
            waiting = [rest] if len(rest) else []
    if waiting:
        yield _joined(waiting)


def _joined(pieces: list[_Piece]) -> _Piece:
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    try:
        if isinstance(first.inputs, Mapping):
            inputs: Any = {key: _cat([p.inputs[key] for p in pieces]) for key in first.inputs}  # type: ignore[index, call-overload]
        elif isinstance(first.inputs, tuple):
            inputs = tuple(_cat([p.inputs[i] for p in pieces]) for i in range(len(first.inputs)))  # type: ignore[index, call-overload]
        else:
            inputs = None if first.inputs is None else _cat([p.inputs for p in pieces])
    except RuntimeError as error:
        raise ValueError(
            f"minibatches of the loader cannot be put together: {error}; leave out batch_size, or let the loader "
            "drop its short "
            "last minibatch"
        ) from error
    raw = None if first.raw is None else [example for p in pieces for example in p.raw or []]
    labels = None if any(p.labels is None for p in pieces) else np.concatenate([p.labels for p in pieces])
    return _Piece(raw, inputs, labels, np.concatenate([p.prints for p in pieces]))


def _cat(values: list[Any]) -> Any:
    return torch.cat(values) if isinstance(values[0], Tensor) and values[0].ndim else values[0]


def _places(prints: Any, remaining: dict[int, list[int]]) -> Any:
    """Ranks of examples in a later pass, known again by their fingerprints."""
    ranks = []
    for key in prints:
        left = remaining.get(int(key))
        if not left:
            raise ValueError(
                "a later pass over the loader gave an example that the first did not (random augmentation?): fix "
                "the examples, or "
                "give passes=1"
            )
        ranks.append(left.pop(0))
    return np.array(ranks, dtype=np.int64)


def _kinds_of(example: Any) -> tuple[str, ...]:
    from cka_plugin.data.readers import kinds_of

    return kinds_of(example)


@contextlib.contextmanager
def _repeatable(loader: Any, seed: int) -> Iterator[None]:
    """Every call reads a shuffling loader in one order, and leaves all random states as they were."""
    samplers = [getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)]
    generators = [getattr(holder, "generator", None) for holder in (loader, *samplers)]
    states = [(g, g.get_state()) for g in {id(g): g for g in generators if isinstance(g, torch.Generator)}.values()]
    python, legacy, default = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(default)
        for generator, state in states:
            generator.set_state(state)
