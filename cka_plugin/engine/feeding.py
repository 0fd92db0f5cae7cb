"""Minibatches on their way to the models: read and prepared ahead, by as many workers as the call says.

Threads do what is this package's own, or a library's; a user's own Python code (a data set, a function of an example)
runs in processes where there is much of it, else in the main thread, so that the same seed goes on giving the same
bits. A loader of the user is read as it is: its workers are the user's.
"""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from cka_plugin.data import Batch, ReadOptions, Source, Takes
from cka_plugin.engine.ahead import read_ahead
from cka_plugin.engine.copies import CopiesAhead
from cka_plugin.engine.device import choose_device
from cka_plugin.engine.ranks import ranks_on_this_machine
from cka_plugin.models.preparation import is_users
from cka_plugin.options import Options
from cka_plugin.workers import Pool, Processes, Threads, Work, how_many, no_processes, obstacle

DEPTH = 2  # minibatches that are prepared at a time while others are read; twice as many where none are

Needs = Callable[[Takes, Batch], bool]


@contextlib.contextmanager
def feeding(
    source: Source,
    read: ReadOptions,
    models: Sequence[Takes],
    options: Options,
    needs: Needs = lambda takes, batch: True,
    keeps_raw: bool = False,
) -> Iterator[Iterator[Batch]]:
    """The minibatches of a run, in their order, as a context within which they are read.

    Args:
        source: the data.
        read: how to read them.
        models: what each takes.
        options: of the call: `workers`.
        needs: whether a model runs on a minibatch, and so needs its inputs.
        keeps_raw: the raw examples are needed besides.
    """
    workers = how_many(options.workers, ranks_on_this_machine())
    ours = [takes for takes in models if not is_users(takes.preparation)]
    work = Work(tuple(models), read.label_key, keeps_raw)
    with contextlib.ExitStack() as stack:
        if workers == 0 or not source.any_order or source.users_code or _by_processes(models, source):
            reader = Processes(workers, options.workers != "auto", work, source.what)
            batches = source.batches(read, reader if workers and source.any_order else None)
            yield stack.enter_context(contextlib.closing(batches))  # type: ignore[type-var]
            return
        reads_raw = bool(source.kinds) or any(
            takes.preparation and "audio" in takes.preparation.kinds for takes in ours
        )
        pool = stack.enter_context(Pool(workers)) if reads_raw else None
        steps = any(takes.preparation is not None and takes.preparation.steps for takes in ours)
        threads = Threads(pool, Work(tuple(ours), read.label_key, keeps_raw)) if pool is not None and steps else None
        batches = source.batches(read, threads)
        stack.enter_context(contextlib.closing(batches))  # type: ignore[type-var]
        device = choose_device(options.device)
        copies = CopiesAhead(device) if device.type == "cuda" else None
        prepare = _preparing(ours, needs, copies)
        if pool is None:
            ahead = read_ahead(batches, prepare)
        else:
            ahead = read_ahead(pool.ahead(batches, prepare, min(workers, 2 * DEPTH if threads is None else DEPTH)))
        stack.enter_context(contextlib.closing(ahead))  # type: ignore[type-var]
        if pool is not None:
            stack.callback(pool.cancel)  # first of all, where the run is broken off
        yield ahead if copies is None else copies.arriving(ahead)


def _by_processes(models: Sequence[Takes], source: Source) -> bool:
    """Whether a user's function prepares raw examples, and can do so in several processes."""
    given = [takes.preparation for takes in models if is_users(takes.preparation)]
    functions = [step.make for preparation in given if preparation is not None for step in preparation.steps]
    return bool(source.kinds) and bool(functions) and no_processes() is None and obstacle(*functions) is None


def _preparing(models: Sequence[Takes], needs: Needs, copies: CopiesAhead | None) -> Callable[[Batch], None]:
    """Makes the inputs of all models that are made of raw examples; of one preparation one minibatch at a time."""
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
    for takes in models:
        if takes.preparation is not None and not takes.preparation.side_by_side:
            locks[takes.preparation.key]

    def prepare(batch: Batch) -> None:
        for takes in models:
            if takes.preparation is not None and needs(takes, batch):
                with locks.get(takes.preparation.key) or contextlib.nullcontext():
                    batch.for_model(takes)
        if copies is not None:
            copies.begin(batch)

    return prepare
