"""What a loader gives, piece by piece, each with the ids of its examples; and pieces of the wanted size."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.content import Content, joined
from cka_plugin.data.counting import is_minibatch
from cka_plugin.data.items import of_item, of_minibatch
from cka_plugin.data.numbers import Fingerprints, Ints
from cka_plugin.warnings import warn

AS_MINIBATCH = (
    "was read as a minibatch with its labels: if they are single examples, give a DataLoader of them with a batch_size"
)


@dataclass(frozen=True)
class Piece:
    """Some consecutive examples of a stream.

    Attributes:
        content: what they hold.
        ids: their places in the loader's data set; None where it has none, or does not tell.
        prints: (n,) their fingerprints.
    """

    content: Content
    ids: list[int] | None
    prints: Fingerprints

    def __len__(self) -> int:
        return self.content.n

    def take(self, places: Ints | slice) -> Piece:
        """Some of the examples."""
        if isinstance(places, slice):
            ids = None if self.ids is None else self.ids[places]
        else:
            ids = None if self.ids is None else [self.ids[place] for place in places]
        return Piece(self.content.take(places), ids, self.prints[places])


def joined_pieces(pieces: list[Piece]) -> Piece:
    """Pieces, one after the other.

    Raises:
        ValueError: their examples do not hold the same members.
    """
    if len(pieces) == 1:
        return pieces[0]
    ids: list[int] | None = []
    for piece in pieces:
        ids = None if ids is None or piece.ids is None else [*ids, *piece.ids]
    try:
        content = joined([piece.content for piece in pieces])
    except ValueError as error:
        raise ValueError(
            f"minibatches of the loader cannot be put together: {error}; leave out batch_size, or let the loader drop "
            "its short last minibatch"
        ) from error
    return Piece(content, ids, np.concatenate([piece.prints for piece in pieces]))


def regrouped(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The same examples in pieces of `size`, but for the last."""
    waiting: list[Piece] = []
    for piece in pieces:
        waiting.append(piece)
        while sum(len(p) for p in waiting) >= size:
            whole = joined_pieces(waiting)
            yield whole.take(slice(0, size))
            rest = whole.take(slice(size, len(whole)))
            waiting = [rest] if len(rest) else []
    if waiting:
        yield joined_pieces(waiting)


def with_tail(pieces: Iterable[Piece], what: str) -> Iterator[Piece]:
    """The same pieces; one of fewer than 4 joins the one before it.

    Raises:
        ValueError: fewer than 4 examples in all.
    """
    held: Piece | None = None
    for piece in pieces:
        if held is not None:
            if len(piece) < MIN_EXAMPLES or len(held) < MIN_EXAMPLES:
                held = joined_pieces([held, piece])
                continue
            yield held
        held = piece
    if held is None:
        raise ValueError(f"{what} gave no examples")
    if len(held) < MIN_EXAMPLES:
        raise ValueError(f"{what} gave {len(held)} examples: CKA needs at least {MIN_EXAMPLES}")
    yield held


# What a loader gives


def given(loader: Any, what: str) -> Iterator[tuple[Content, list[int] | None]]:
    """Each thing that a loader, an iterable data set or a generator gives, read as a minibatch or as one example.

    A `DataLoader` that makes minibatches gives minibatches, an iterable data set gives examples, any other iterable
    minibatches; what is given is looked at first, and decides where it can be only one of them.
    """
    batched = isinstance(loader, DataLoader) and loader.batch_sampler is not None
    items, indices = _indices_noted(loader)
    several: bool | None = True if batched else None
    for one in items:
        if several is None:
            several = _is_several(one, loader, what)
        places = indices.popleft() if indices else None
        if not several:
            yield of_item(one), places
            continue
        content = of_minibatch(one, len(places) if batched and places is not None else None)
        yield content, places if places is not None and len(places) == content.n else None


def _is_several(one: Any, loader: Any, what: str) -> bool:
    """Whether something is a minibatch; where it could be either, by what PyTorch's own loaders take it for."""
    seen = is_minibatch(one)
    usual = not isinstance(loader, DataLoader | IterableDataset) and not hasattr(loader, "column_names")
    if seen is None and not usual and _could_be_several(one):
        warn(
            f"each thing that {what} gives ({of_item(one).members[0].described()}) was read as one example"
            f"{', since batch_size=None' if isinstance(loader, DataLoader) else ''}: if they are minibatches, give "
            "(minibatch for minibatch in loader)"
        )
    if seen and isinstance(loader, IterableDataset):
        warn(f"each thing that {what} gives {AS_MINIBATCH}")
    return usual if seen is None else seen


class Minibatches:
    """The items of a data set or list that are minibatches, to be read in their order.

    Args:
        items: them.
        what: the data, for messages.
    """

    def __init__(self, items: Any, what: str) -> None:
        self.items, self.what = items, what

    def __iter__(self) -> Iterator[Any]:
        warn(f"each item of {self.what} {AS_MINIBATCH}")
        for place in range(len(self.items)):
            yield self.items[place]


def _could_be_several(one: Any) -> bool:
    """Whether a single example would be of an unusual number of axes."""
    axes = [m.values.ndim - 1 for m in of_item(one).members if m.kind == "tensor" and not isinstance(m.values, list)]
    return bool(axes) and (axes[0] == 2 or axes[0] > 3)


class _Noted:
    """A sampler that notes what it gave."""

    def __init__(self, sampler: Any, notes: deque[list[int]]) -> None:
        self.sampler, self.notes = sampler, notes

    def __iter__(self) -> Iterator[Any]:
        for one in self.sampler:
            several = list(one) if isinstance(one, list | tuple) else [one]
            self.notes.append([int(index) for index in several] if all(_is_whole(i) for i in several) else [])
            yield one

    def __len__(self) -> int:
        return len(self.sampler)


def _is_whole(index: Any) -> bool:
    try:
        int(index)
    except (TypeError, ValueError):
        return False
    return True


def _indices_noted(loader: Any) -> tuple[Iterable[Any], deque[list[int]]]:
    """A loader that reads the same, and which examples of its data set it will give, one entry for each thing."""
    notes: deque[list[int]] = deque()
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return loader, notes
    if not getattr(loader, "in_order", True):  # workers may overtake one another
        return loader, notes
    twin = copy.copy(loader)
    vars(twin)["_iterator"] = None  # workers that persist would go on with the sampler they know
    name = "sampler" if loader.batch_sampler is None else "batch_sampler"
    vars(twin)[name] = _Noted(getattr(loader, name), notes)
    return twin, notes
