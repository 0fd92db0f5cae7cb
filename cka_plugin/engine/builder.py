"""From minibatches to a representation: what one model leaves of each is collected here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.adapters import Layer
from cka_plugin.capture.captured import Captured
from cka_plugin.data import Batch, Source, label_numbers
from cka_plugin.representation import Minibatch, Representation, ScaleKeeper, find_problems
from cka_plugin.storage.vectors import VectorStore


class Builder:
    """Collects what one model leaves of each minibatch into its Representation.

    Args:
        name: of the model.
        class_names: of its head, where they are known.
        store: where its vectors lie.
    """

    def __init__(self, name: str, class_names: list[str] | None, store: VectorStore) -> None:
        self.name = name
        self.class_names = class_names
        self.store = store
        self.keeper: ScaleKeeper | None = None
        self.minibatches: list[tuple[Batch, npt.NDArray[Any], npt.NDArray[Any]]] = []
        self.logits: dict[int, npt.NDArray[np.float32]] = {}
        self.rows: dict[str, str] = {}  # of layers whose examples do not have one row each on the first axis
        self.width = 0  # features of the widest layer

    def add(self, batch: Batch, captured: Captured) -> None:
        """Take one minibatch; of the batch only what the representation needs is kept."""
        if self.keeper is None:
            self.keeper = ScaleKeeper(len(captured.exponents))
        self.rows |= captured.rows
        self.width = max(self.width, captured.width)
        vectors, diagonals = self.store.keep(captured.vectors), captured.diagonals
        self.keeper.add(vectors, diagonals, captured.exponents)
        self.minibatches.append((batch.without_content(), vectors, diagonals))
        if captured.logits is not None:
            for rank, row in zip(batch.places, captured.logits, strict=True):
                self.logits.setdefault(int(rank), row)

    def finish(
        self, layers: list[Layer], source: Source, options: dict[str, Any], shard: tuple[int, int] | None
    ) -> Representation:
        """The representation, with its examples in the order of reading."""
        of_rank: dict[int, tuple[Any, int, Any]] = {}
        for batch, _, _ in self.minibatches:
            for place, rank in enumerate(batch.places):
                label = None if batch.labels is None else batch.labels[place]
                of_rank.setdefault(int(rank), (batch.ids[place], int(batch.fingerprints[place]), label))
        ranks = sorted(of_rank)
        place_of = {rank: position for position, rank in enumerate(ranks)}
        minibatches = [
            Minibatch(
                vectors,
                diagonals,
                np.array([place_of[int(rank)] for rank in batch.places], dtype=np.int64),
                batch.index,
                batch.pass_index,
            )
            for batch, vectors, diagonals in self.minibatches
        ]
        labelled = bool(self.minibatches) and all(batch.labels is not None for batch, _, _ in self.minibatches)
        scored = len(self.logits) == len(ranks) and len(ranks) > 0
        labels, names = _numbered([of_rank[rank][2] for rank in ranks], source) if labelled else (None, None)
        exponents = np.zeros(len(layers), dtype=np.int64) if self.keeper is None else self.keeper.exponents
        return Representation(
            name=self.name,
            layers=list(layers),
            minibatches=minibatches,
            example_ids=[of_rank[rank][0] for rank in ranks],
            fingerprints=np.array([of_rank[rank][1] for rank in ranks], dtype=np.uint64),
            ranks=np.array(ranks, dtype=np.int64),
            exponents=exponents,
            logits=np.stack([self.logits[rank] for rank in ranks]) if scored else None,
            labels=labels,
            class_names=self.class_names,
            label_names=names,
            problems=find_problems(layers, minibatches),
            skipped=sorted({example for batch, _, _ in self.minibatches for example in batch.skipped}, key=str),
            options=options | ({"rows": self.rows} if self.rows else {}),
            shard=shard,
        )


def _numbered(labels: list[Any], source: Source) -> tuple[npt.NDArray[np.int64], list[str] | None]:
    """Class numbers and their names; words that came example by example get their numbers now that all are known."""
    numbers, names = label_numbers(np.array(labels))
    return numbers, source.label_names if names is None else names
