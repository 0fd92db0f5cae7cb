"""Data that is read in its own order: a `DataLoader`, an iterable data set, any iterable of minibatches."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from cka_plugin.adapters.base import Inputs
from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import Batch
from cka_plugin.data.kinds import kinds_of
from cka_plugin.data.labels import label_numbers, read_labels
from cka_plugin.data.pieces import Piece, joined, one_as_minibatch, regrouped
from cka_plugin.data.reading import ReadOptions


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
    it has none, the global random state is seeded for it.
    """

    def __init__(self, loader: Iterable[Any], labels: Any = None) -> None:
        self.loader = loader
        self.label_names: list[str] | None = None
        self.kinds: tuple[str, ...] = ()
        self.what = "the loader"
        self.any_order, self.users_code = False, True
        self._digest = b""  # of the fingerprints of all that the last reading gave, in order
        self._labels = None
        if labels is not None:
            if self.shuffles:
                raise ValueError(
                    "labels given apart from a DataLoader that shuffles have no order: let the loader give (x, label)"
                )
            self._labels, self.label_names = label_numbers(read_labels(labels))

    @property
    def shuffles(self) -> bool:
        """Whether the loader draws its order at random."""
        sampler = getattr(self.loader, "sampler", None)
        inner = getattr(getattr(self.loader, "batch_sampler", None), "sampler", None)
        return isinstance(sampler, RandomSampler) or isinstance(inner, RandomSampler)

    def count(self, options: ReadOptions) -> tuple[int | None, int | None]:
        return None, None

    def planned(self, options: ReadOptions) -> list[Any]:
        return []

    def identity(self, options: ReadOptions) -> dict[str, list[Any]]:
        return {"data": [self._digest.hex()]}

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
        self._digest = b""
        with _repeatable(self.loader, options.seed):
            for number in range(options.passes):
                remaining = {key: list(places) for key, places in seen.items()}
                for raw, inputs, labels, prints in self._minibatches(options):
                    n = len(prints)
                    self._digest = hashlib.blake2b(self._digest + prints.tobytes(), digest_size=16).digest()
                    if number == 0:
                        places = np.arange(total, total + n, dtype=np.int64)
                        for place, key in zip(places, prints, strict=True):
                            seen.setdefault(int(key), []).append(int(place))
                        total += n
                    else:
                        places = _places_of(prints, remaining)
                    if self._labels is not None:
                        if total > len(self._labels):
                            raise ValueError(f"given {len(self._labels)} labels for {total} or more examples")
                        labels = self._labels[places]
                    if options.mine(index):
                        kinds = () if raw is None else kinds_of(raw[0])
                        yield Batch(index, number, places, [int(p) for p in places], prints, labels, kinds, raw, inputs)
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
        held: Piece | None = None
        pieces = self._pieces(options)
        for piece in pieces if options.batch_size is None and self._batched() else regrouped(pieces, options):
            if held is not None:
                if len(piece) < MIN_EXAMPLES:
                    held = joined([held, piece])
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

    def _pieces(self, options: ReadOptions) -> Iterator[Piece]:
        left = options.max_examples
        for batch in self.loader:
            piece = Piece.of(batch if self._batched() else one_as_minibatch(batch))
            if left is not None:
                piece = piece.cut(0, min(left, len(piece)))
                left -= len(piece)
            if len(piece):
                yield piece
            if left == 0:
                return


def _places_of(prints: Any, remaining: dict[int, list[int]]) -> Any:
    """Places of examples in a later pass, known again by their fingerprints."""
    places = []
    for key in prints:
        left = remaining.get(int(key))
        if not left:
            raise ValueError(
                "a later pass over the loader gave an example that the first did not (random augmentation?): fix "
                "the examples, or "
                "give passes=1"
            )
        places.append(left.pop(0))
    return np.array(places, dtype=np.int64)


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
