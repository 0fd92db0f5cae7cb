"""Minibatches read and prepared by threads, a few examples at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from cka_plugin.data.indexed import Read, Reads, joined_reads
from cka_plugin.data.numbers import Ints
from cka_plugin.warnings import Told
from cka_plugin.workers.pool import Pool, say
from cka_plugin.workers.work import Work

CHUNK = 4  # examples a thread takes at a time: fewer cost more to hand out, more leave threads idle at the end
AHEAD = 2  # minibatches that are being read, whatever the number of threads: memory stays bounded


class Threads:
    """Reads minibatches by the threads of a pool.

    Args:
        pool: the threads.
        work: what is done with the examples.
    """

    def __init__(self, pool: Pool, work: Work) -> None:
        self.pool, self.work = pool, work

    def __call__(self, read: Reads, parts: Sequence[Ints], on_error: str) -> Iterator[Read]:
        """The minibatches, in their order; see `Reader`."""
        waiting: deque[list[Future[tuple[Read, Told]]]] = deque()
        left = iter(parts)

        def begin() -> None:
            part = next(left, None)
            if part is not None:
                waiting.append([self.pool.submit(self.work, read, few, on_error) for few in chunks(part, CHUNK)])

        for _ in range(AHEAD):
            begin()
        for part in parts:
            found = _all(waiting.popleft())
            begin()
            if found is None:  # read again as it would be without workers: it raises what it would, where it would
                yield read(part, on_error)
            else:
                for _, told in found:
                    say(told)
                yield joined_reads([read for read, _ in found], [len(few) for few in chunks(part, CHUNK)])


def chunks(part: Ints, size: int) -> list[Ints]:
    """A minibatch in parts of no more than `size`."""
    return [part[start : start + size] for start in range(0, len(part), size)]


def _all(waiting: Sequence[Future[tuple[Read, Told]]]) -> list[tuple[Read, Told]] | None:
    """What all of them give, once all are done; None where one failed."""
    failed = [few for few in waiting if few.exception() is not None]
    return None if failed else [few.result() for few in waiting]
