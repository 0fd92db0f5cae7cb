"""Many processes, one result: under `torch.distributed` the ranks share the minibatches, and each gets the whole.

Every rank reads the same data and runs the minibatches whose number, divided by the number of ranks, leaves its own; a
loader with a `DistributedSampler` gives each rank its own examples, and all it gives are run. The vectors are then
exchanged a minibatch at a time over gloo, whatever the default process group's backend.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from cka_plugin.core import values_kept
from cka_plugin.data import Source
from cka_plugin.data.loader import Stream
from cka_plugin.data.sampled import SampledStream, sampler_of
from cka_plugin.representation import Minibatch, Representation, differences, join
from cka_plugin.storage.vectors import VectorStore

TIMEOUT_VARIABLE = "CKA_PLUGIN_TIMEOUT"  # seconds that a rank waits for the others, where the group is ours
_here = threading.local()


class DistributedError(RuntimeError):
    """Another rank failed, died, or did something else than this one."""


@dataclass(frozen=True)
class Share:
    """What one rank did.

    Attributes:
        representations: one a model, of this rank's minibatches.
        identity: what must be the same on all ranks: its name in messages -> a hash.
    """

    representations: list[Representation]
    identity: dict[str, str]


def world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) where there is no process group, or within `alone`.

    Example:
        >>> world()
        (0, 1)
    """
    if getattr(_here, "alone", 0) or not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it this process works for itself, though there is a process group: the other ranks need not join in.

    Example:
        >>> with alone():
        ...     world()
        (0, 1)
    """
    _here.alone = getattr(_here, "alone", 0) + 1
    try:
        yield
    finally:
        _here.alone -= 1


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Under torchrun, the process group that the command needs; elsewhere nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("gloo", timeout=_timeout())  # what is exchanged lies in main memory, also with GPUs
    try:
        yield
    finally:
        dist.destroy_process_group()


def local_device() -> int | None:
    """The number of this rank's GPU on its machine; None outside torchrun."""
    local = os.environ.get("LOCAL_RANK")
    count = torch.cuda.device_count()
    return int(local) % count if local is not None and count and world()[1] > 1 else None


def ranks_on_this_machine() -> int:
    """How many ranks share this machine's memory."""
    size = world()[1]
    return min(int(os.environ.get("LOCAL_WORLD_SIZE", size)), size)


def split(work: Callable[[tuple[int, int] | None], Share], budget: int) -> list[Representation]:
    """Let every rank do its share, and give the whole to each.

    Args:
        work: given (rank, ranks), does this rank's share; given None, all of it.
        budget: bytes that the vectors of other ranks may take in memory.

    Returns:
        One representation a model, the same on every rank and the same as one process would make.

    Raises:
        DistributedError: another rank failed or died (the message says which, as far as it is known), or the ranks have
            other models, options or data.
    """
    rank, size = world()
    if size == 1:
        return work(None).representations
    share, failure = Share([], {}), None
    try:
        share = work((rank, size))
    except Exception as error:  # raised again below, once the others know
        failure = error
    try:
        with _exchange() as group:
            told: list[Any] = [None] * size
            said = None if failure is None else f"{type(failure).__name__}: {failure}"
            dist.all_gather_object(told, (said, share.identity), group=group)
            if failure is None:
                _check_told(told, rank)
                store = VectorStore(budget)
                return [_whole(part, store, group) for part in share.representations]
    except DistributedError:
        raise
    except (RuntimeError, ValueError) as error:
        if failure is None:
            reason = str(error).strip().splitlines()[0][:300]
            raise DistributedError(
                f"rank {rank} of {size} waited for the others in vain: one of them has died or hangs ({reason})"
            ) from error
    assert failure is not None
    raise failure


def _check_told(told: Sequence[tuple[str | None, dict[str, str]]], rank: int) -> None:
    size = len(told)
    for other, (failure, _) in enumerate(told):
        if failure is not None:
            raise DistributedError(f"rank {other} of {size} failed: {failure}")
    for other, (_, identity) in enumerate(told):
        unlike = [what for what in told[0][1] if identity.get(what) != told[0][1][what]]
        unlike += [what for what in identity if what not in told[0][1]]
        if unlike:
            raise DistributedError(
                f"ranks 0 and {other} of {size} have other {', '.join(unlike)}: give every rank the same models (seed "
                "their initialisation), options and data, or a DataLoader with a DistributedSampler"
            )


@contextlib.contextmanager
def _exchange() -> Iterator[dist.ProcessGroup | None]:
    """A group over gloo, once all ranks are there."""
    group = None
    if dist.get_backend() != "gloo":
        made = dist.new_group(backend="gloo", timeout=_timeout())
        assert isinstance(made, dist.ProcessGroup)  # all ranks are in it
        group = made
    try:
        dist.monitored_barrier(group=group, wait_all_ranks=True)
        yield group
    finally:
        if group is not None:
            dist.destroy_process_group(group)


def _timeout() -> timedelta:
    return timedelta(seconds=float(os.environ.get(TIMEOUT_VARIABLE, "1800")))


def _whole(own: Representation, store: VectorStore, group: dist.ProcessGroup | None) -> Representation:
    """All ranks' parts of one representation, put together; vectors travel a minibatch at a time."""
    rank, size = world()
    told: list[Any] = [None] * size
    about = [(m.index, m.pass_index, m.positions) for m in own.minibatches]
    dist.all_gather_object(told, (replace(own, minibatches=[]), about), group=group)
    first = next((part for part, held in told if held), own)
    for other, (part, held) in enumerate(told):
        what = differences(first, part, options=True) if held else []
        if what:
            raise DistributedError(f"rank {other} of {size} made {own.name} otherwise: {'; '.join(what)}")
    parts = []
    for owner, (part, held) in enumerate(told):
        if owner == rank:
            for minibatch in own.minibatches:
                for array in (minibatch.vectors, minibatch.diagonals):
                    sent = np.ascontiguousarray(array, dtype=np.float32)
                    dist.broadcast(torch.from_numpy(sent), src=owner, group=group)
            parts.append(own)
        else:
            minibatches = [_received(owner, part, numbers, store, group) for numbers in held]
            parts.append(replace(part, minibatches=minibatches))
    return join(parts, store=None)


def _received(
    owner: int,
    part: Representation,
    numbers: tuple[int, int, npt.NDArray[np.int64]],
    store: VectorStore,
    group: dist.ProcessGroup | None,
) -> Minibatch:
    """A minibatch of another rank, of which index, pass and positions are known already."""
    index, pass_index, positions = numbers
    layers, n = len(part.layers), len(positions)
    vectors = np.empty((layers, values_kept(n, part.projection)), dtype=np.float32)
    diagonals = np.empty((layers, n), dtype=np.float32)
    for array in (vectors, diagonals):
        dist.broadcast(torch.from_numpy(array), src=owner, group=group)
    return Minibatch(store.keep(vectors), diagonals, positions, index, pass_index)


def source_of(source: Source) -> Source:
    """The source as this rank is to read it: a loader with a `DistributedSampler` holds this rank's own examples."""
    rank, size = world()
    if size == 1 or not isinstance(source, Stream):
        return source
    sampler = sampler_of(source.loader)
    if sampler is None:
        return source
    if (sampler.num_replicas, sampler.rank) != (size, rank):
        raise ValueError(
            f"the DistributedSampler is for rank {sampler.rank} of {sampler.num_replicas}, this is rank {rank} of "
            f"{size}: give num_replicas and rank of the process group (or leave them out)"
        )
    return SampledStream(source, sampler)
