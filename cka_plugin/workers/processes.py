"""Minibatches read and prepared by processes: for a user's Python code, which holds the interpreter lock.

The processes are those of PyTorch's own `DataLoader`, forked, so that nothing need be pickled to get there. What draws
random numbers, or gives another thing each time, is read in this process as before: only so the bits stay the same.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cka_plugin.data.fingerprints import fingerprint_raw
from cka_plugin.data.indexed import Read, Reads, joined_reads
from cka_plugin.data.numbers import Ints
from cka_plugin.warnings import Told, warn
from cka_plugin.workers.obstacles import obstacle
from cka_plugin.workers.pool import say
from cka_plugin.workers.threads import chunks
from cka_plugin.workers.work import Work

WORTH = 2.0  # seconds of reading that are left, for which processes are begun unasked: to begin them takes some 0.1
DRAWS = "it draws random numbers"
CHANGES = "it gives another thing when the same example is read again"


@dataclass(frozen=True)
class _Done:
    """What a process did with a few examples.

    Attributes:
        read: what it read; None where it failed, or must not have been read there.
        reason: why it must not.
        warned: warnings that came up.
    """

    read: Read | None = None
    reason: str | None = None
    warned: Told = field(default_factory=list)


class Processes:
    """Reads minibatches by several processes.

    Args:
        workers: how many.
        asked: the user gave their number: they begin at once, and where they cannot be used that is said. Otherwise
            only where there is much to read.
        work: what is done with the examples.
        what: the data, for messages.
    """

    def __init__(self, workers: int, asked: bool, work: Work, what: str) -> None:
        self.workers, self.asked, self.work, self.what = workers, asked, work, what

    def __call__(self, read: Reads, parts: Sequence[Ints], on_error: str) -> Iterator[Read]:
        """The minibatches, in their order; see `Reader`."""
        done, reason = 0, None
        if not self.asked and parts:
            before, start = _random_states(), time.perf_counter()
            first = read(parts[0], on_error)
            with contextlib.suppress(Exception):  # of the user's function: it is raised where the model is fed
                first = self.work.prepared(first)
            seconds = time.perf_counter() - start
            reason = DRAWS if _random_states() != before else None
            yield first
            done = 1
            if seconds * (len(parts) - 1) < WORTH or self.workers < 2:
                reason = reason or "there is little to read"
        reason = reason or self._obstacle(read)
        if reason is None and done < len(parts):
            for found in self._by_processes(read, parts[done:], on_error):
                if isinstance(found, str):
                    reason = found
                    break
                yield found
                done += 1
        if reason is not None and self.asked:
            warn(f"workers={self.workers}: {self.what} is read in this process all the same: {reason}")
        for part in parts[done:]:
            yield read(part, on_error)

    def _obstacle(self, read: Reads) -> str | None:
        steps = [step.make for takes in self.work.models if takes.preparation for step in takes.preparation.steps]
        return no_processes() or obstacle(read, *steps)

    def _by_processes(self, read: Reads, parts: Sequence[Ints], on_error: str) -> Iterator[Read | str]:
        """What is read, a minibatch at a time; or, last, why no more can be read so."""
        cut = [chunks(part, -(-len(part) // self.workers)) for part in parts]
        jobs = _Jobs(self.work, read, [few for part in cut for few in part], on_error)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more than cores: so it was said
            warnings.filterwarnings("ignore", ".*fork.* may lead to deadlocks")  # of threads: none of ours runs by now
            loader: Any = DataLoader(
                jobs,
                batch_size=None,
                num_workers=self.workers,
                prefetch_factor=2,
                collate_fn=_as_it_is,  # type: ignore[arg-type]
                generator=torch.Generator(),  # else one number is drawn from the user's
                multiprocessing_context="fork",
            )
            done = iter(loader)
        try:
            for part, cuts in zip(parts, cut, strict=True):
                found: list[_Done] = [next(done) for _ in cuts]
                reason = next((one.reason for one in found if one.reason is not None), None)
                if reason is not None:
                    yield reason
                    return
                reads = [one.read for one in found if one.read is not None]
                for one in found:
                    say(one.warned)
                if len(reads) < len(found):  # read again as it would be without workers: it raises what it would
                    yield read(part, on_error)
                else:
                    yield joined_reads(reads, [len(few) for few in cuts])
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RuntimeError(
                f"{self.what}: a process that reads it has ended ({str(error).strip()}); perhaps memory ran out: "
                "workers=0 reads in this process"
            ) from error
        finally:
            shut = getattr(done, "_shutdown_workers", None)
            if shut is not None:
                shut()


def no_processes() -> str | None:
    """Why this process cannot begin others that read; None where it can."""
    if sys.platform != "linux" or "fork" not in multiprocessing.get_all_start_methods():
        return "processes that read are forked, which only Linux does safely"
    if threading.current_thread() is not threading.main_thread() or multiprocessing.current_process().daemon:
        return "only the main thread of a process that is no worker itself begins others"
    return None


class _Jobs(Dataset[_Done]):
    """A few examples each, as a data set."""

    def __init__(self, work: Work, read: Reads, parts: Sequence[Ints], on_error: str) -> None:
        self.work, self.read, self.parts, self.on_error = work, read, parts, on_error
        self._tried = False

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> _Done:
        part = self.parts[number]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                before = _random_states()
                if not self._tried and self._changes(part[:1]):
                    return _Done(reason=CHANGES if _random_states() == before else DRAWS)
                self._tried = True
                read = self.work(self.read, part, self.on_error)
            except Exception:  # it is raised where it would be without processes, when that is read again
                return _Done()
            if _random_states() != before:
                return _Done(reason=DRAWS)
        return _Done(_stacked(read), warned=[(str(one.message), one.category) for one in caught])

    def _changes(self, part: Ints) -> bool:
        """Whether an example is another one when it is read a second time."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _marks(self.work(self.read, part, self.on_error)) != _marks(
                self.work(self.read, part, self.on_error)
            )


def _as_it_is(done: _Done) -> _Done:
    return done


def _marks(read: Read) -> list[int]:
    content = [] if read.content is None else [member.values for member in read.content.members]
    return [fingerprint_raw(list(values)) for values in (*content, *read.rows.values())]


def _stacked(read: Read) -> Read:
    """Rows as one tensor, where they are alike: each tensor that goes to another process is a file of its own."""
    rows = {
        key: torch.stack(list(made))
        if len({(each.shape, each.dtype) if type(each) is Tensor else id(each) for each in made}) == 1
        else made
        for key, made in read.rows.items()
    }
    return Read(read.content, read.failed, read.fingerprints, rows)


def _random_states() -> tuple[Any, ...]:
    """Where the global generators are."""
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), np.asarray(keys).tobytes(), *rest, torch.get_rng_state().numpy().tobytes()
