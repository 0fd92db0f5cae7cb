"""Data that is read in its own order: a `DataLoader`, an iterable data set, any iterable of minibatches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import DEFAULT_BATCH_SIZE, Batch
from cka_plugin.data.empty import without_empty
from cka_plugin.data.fingerprints import fingerprints_of
from cka_plugin.data.indexed import Reader
from cka_plugin.data.labels import label_numbers
from cka_plugin.data.numbers import Ints
from cka_plugin.data.pieces import Piece, given, regrouped, with_tail
from cka_plugin.data.places import Places
from cka_plugin.data.reading import ReadOptions
from cka_plugin.data.repeatable import repeatable
from cka_plugin.data.repeats import Repeats
from cka_plugin.data.roles import label_choices, meant
from cka_plugin.warnings import warn


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
    """A loader of minibatches, read in its own order.

    Ids are the places of examples in the loader's data set, whatever the order; of a stream without one they are 0, 1,
    ... as they come. A loader that shuffles is read in the same order by every call: its generator is put back
    afterwards, and where it has none, the global random state is seeded for it.
    """

    any_order = False
    users_code = True
    kinds: tuple[str, ...] = ()

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self.what = "the loader" if isinstance(loader, DataLoader) else f"the {type(loader).__name__}"
        classes = getattr(getattr(loader, "dataset", None), "classes", None)
        self.label_names = None if classes is None else [str(name) for name in classes]
        self._digest = b""  # of the fingerprints of all that the last reading gave, in order
        self._labels: Ints | None = None

    def with_labels(self, labels: Any) -> Stream:
        """The same with labels from elsewhere: in the order of the loader's data set, or of what it gives.

        Raises:
            ValueError: another number of labels than its data set has examples, and an order drawn at random.
        """
        made = type(self)(self.loader)
        made._labels, made.label_names = label_numbers(labels)
        if made.shuffles and made._of_all is None:
            raise ValueError(
                f"given {len(made._labels)} labels apart from a DataLoader that shuffles: expected one for each "
                "example of its data set, in that order; or let the loader give (x, label)"
            )
        return made

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

    def batches(self, options: ReadOptions, reader: Reader | None = None) -> Iterator[Batch]:
        if options.passes > 1 and not self.shuffles:
            raise ValueError(
                f"passes={options.passes} needs data that can be read in a fresh order each time; this loader reads in "
                "its own: give shuffle=True, or the data set itself"
            )
        known = Places()
        index = 0
        self._digest = b""
        labelled: set[bool] = set()
        with repeatable(self.loader, options.seed):
            for number in range(options.passes):
                known.start(number)
                for piece in with_tail(self._pieces(options, number), self.what):
                    self._digest = hashlib.blake2b(self._digest + piece.prints.tobytes(), digest_size=16).digest()
                    places = known.of(piece)
                    choices = self._choices(piece, options)
                    labels = self._given_labels(known.ids_of(places), places)
                    labelled.add(labels is not None or bool(choices))
                    if options.mine(index):
                        yield Batch(
                            index,
                            number,
                            places,
                            known.ids_of(places),
                            piece.prints,
                            labels if labels is not None else choices[0][1] if choices else None,
                            piece.content,
                            tuple(choices),
                            labels_apart=labels is not None,
                        )
                    index += 1
                if number == 0:
                    self._check_labels(known, options)
        if len(labelled) > 1:
            warn(
                f"labels of some minibatches of {self.what} are classes and of others not: none is used; say "
                "label_key=, or give labels="
            )

    def _choices(self, piece: Piece, options: ReadOptions) -> list[Any]:
        try:
            return label_choices(piece.content, options.label_key)
        except ValueError as error:
            if self._labels is not None:
                return []
            raise ValueError(f"{self.what}: {error}") from error

    @property
    def _of_all(self) -> int | None:
        """How many examples the loader's data set has, where the labels given apart are in its order."""
        dataset = getattr(self.loader, "dataset", None)
        if self._labels is None or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            return None
        n = len(dataset)  # type: ignore[arg-type]
        return n if n == len(self._labels) else None

    def _given_labels(self, ids: list[Any], places: Ints) -> Ints | None:
        if self._labels is None:
            return None
        if self._of_all is not None and all(isinstance(example, int) for example in ids):
            return self._labels[np.array(ids, dtype=np.int64)]
        if int(places.max()) >= len(self._labels):
            raise ValueError(f"given {len(self._labels)} labels for {int(places.max()) + 1} or more examples")
        return self._labels[places]

    def _check_labels(self, known: Places, options: ReadOptions) -> None:
        if self._labels is None or options.max_examples is not None or self._of_all is not None:
            return
        if known.total != len(self._labels):
            raise ValueError(f"given {len(self._labels)} labels for {known.total} examples")

    def _pieces(self, options: ReadOptions, number: int) -> Iterator[Piece]:
        """Pieces of the wanted size, of no more examples than wanted."""
        pieces = self._read(options, number)
        first = next(pieces, None)
        if first is None:
            return
        own = getattr(self.loader, "batch_size", None) or len(first)
        rest = _chained(first, pieces)
        small = own < MIN_EXAMPLES or options.batch_size is not None
        yield from regrouped(rest, options.batch_size or DEFAULT_BATCH_SIZE) if small else rest

    def _read(self, options: ReadOptions, number: int) -> Iterator[Piece]:
        left = options.max_examples
        repeats = Repeats(self.what, options.repeats)
        for content, ids in given(self.loader, self.what):
            content, kept = without_empty(content, options.on_error, self.what)
            ids = ids if ids is None or len(kept) == len(ids) else [ids[place] for place in kept]
            if not len(kept):
                continue
            piece = Piece(content, ids, fingerprints_of(meant(content)))
            piece = piece.take(repeats.fresh(piece.prints, [object() for _ in range(len(piece))]))
            if left is not None:
                piece = piece.take(slice(0, min(left, len(piece))))
                left -= len(piece)
            if len(piece):
                yield piece
            if left == 0:
                break
        if number == 0:
            repeats.warn()


def _chained(first: Piece, rest: Iterator[Piece]) -> Iterator[Piece]:
    yield first
    yield from rest
