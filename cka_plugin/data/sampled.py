"""A loader whose `DistributedSampler` gives every process examples of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from cka_plugin.core import MIN_EXAMPLES
from cka_plugin.data.batches import Batch, Ints
from cka_plugin.data.indexed import Reader
from cka_plugin.data.loader import Stream
from cka_plugin.data.reading import ReadOptions


def sampler_of(loader: Any) -> DistributedSampler[Any] | None:
    """The `DistributedSampler` of a loader, or None."""
    holders = (loader, getattr(loader, "batch_sampler", None))
    samplers = [getattr(holder, "sampler", None) for holder in holders]
    return next((s for s in samplers if isinstance(s, DistributedSampler)), None)


class SampledStream(Stream):
    """What one process reads of such a loader: an example's id, and its place among all, is its position in the data.

    The examples by which the sampler fills up the last round, the same as its first, are left out.
    """

    def __init__(self, stream: Stream, sampler: DistributedSampler[Any]) -> None:
        super().__init__(stream.loader)
        self.label_names = stream.label_names
        self.sampler = sampler
        self._given = stream._labels
        examples = len(sampler.dataset)  # type: ignore[arg-type]
        if self._given is not None and len(self._given) != examples:
            raise ValueError(f"given {len(self._given)} labels for {examples} examples: expected one an example")

    def batches(self, options: ReadOptions, reader: Reader | None = None) -> Iterator[Batch]:
        process, processes = self.sampler.rank, self.sampler.num_replicas
        own = self._own(options)
        if not len(own):
            return
        if len(own) < MIN_EXAMPLES:
            raise ValueError(
                f"the DistributedSampler gives rank {process} of {processes} {len(own)} examples: a minibatch needs "
                f"at least {MIN_EXAMPLES}; use fewer ranks, or more examples"
            )
        for batch in super().batches(replace(options, shard=None, max_examples=len(own))):
            places = own[batch.places]
            yield replace(
                batch,
                index=batch.index * processes + process,
                places=places,
                ids=[int(place) for place in places],
                labels=batch.labels if self._given is None else self._given[places],
            )

    def identity(self, options: ReadOptions) -> dict[str, list[Any]]:
        sampler = self.sampler
        return {"samplers": [len(sampler.dataset), sampler.shuffle, sampler.seed, sampler.epoch]}  # type: ignore[arg-type]

    def _own(self, options: ReadOptions) -> Ints:
        """Positions of this process's examples, without those that fill up."""
        process, processes = self.sampler.rank, self.sampler.num_replicas
        total = len(self.sampler.dataset)  # type: ignore[arg-type]
        if options.max_examples is not None:
            total = min(total, options.max_examples)
        count = max(-(-(total - process) // processes), 0)  # its k-th is number process + k * processes of all
        return np.array(list(self.sampler)[:count], dtype=np.int64)
