"""Models over data, by as many processes as there are: what the calls that make representations share."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cka_plugin.data import ReadOptions, open_data
from cka_plugin.engine import ranks
from cka_plugin.engine.beside import Beside
from cka_plugin.engine.device import choose_device
from cka_plugin.engine.identity import identity
from cka_plugin.engine.problems import warn_of_problems
from cka_plugin.engine.reading import read_like
from cka_plugin.engine.run import run
from cka_plugin.models.subject import subjects
from cka_plugin.options import Options
from cka_plugin.representation import Representation
from cka_plugin.storage.allocator import AMPLE, freed_memory
from cka_plugin.storage.vectors import budget_bytes


def over_data(
    models: Sequence[tuple[str, Any]], data: Any, options: Options, like: Representation | None = None
) -> list[Representation]:
    """Run models over data.

    Args:
        models: each with its name.
        data: as the user gave them.
        options: of the call.
        like: a representation, whose examples are read in its minibatches.

    Returns:
        One representation a model; under `torch.distributed` every process has the whole.
    """
    rank, size = ranks.world()
    budget = budget_bytes(options.max_memory)
    if size > 1:
        budget //= ranks.ranks_on_this_machine() if options.max_memory == "auto" else 1
        if options.shard is not None:
            raise ValueError(
                f"shard {options.shard}: the {size} ranks of the process group share the minibatches already"
            )
    beside = Beside(options) if options.levels else None
    read = ReadOptions.of(options)
    if like is not None:
        read = read_like(like, read)
        _check_kept_alike(like, options)

    def work(share: tuple[int, int] | None) -> ranks.Share:
        on_cpu = choose_device(options.device).type == "cpu"
        source = ranks.source_of(open_data(data, options.labels))
        source.count(read)  # too few examples is said before any model is built or downloaded
        opened = subjects(models, options)
        if beside is not None:
            copies = beside.copy(opened)
            if rank == 0:
                beside.say_cost(opened, source, read)
            opened = [*opened, *copies]
        ample = options.max_memory == "auto" or budget >= AMPLE
        with freed_memory(kept=ample) if on_cpu else contextlib.nullcontext():
            if share is None:
                return ranks.Share(run(opened, source, read, options, budget), {})
            mine, quiet = replace(read, shard=share), replace(options, progress=options.progress and rank == 0)
            made = run(opened, source, mine, quiet, budget // size)
        return ranks.Share(made, identity(opened, source, read, options))

    made = ranks.split(work, budget - budget // size)
    if rank == 0:
        for representation in made if beside is None else made[:-1]:
            warn_of_problems(representation)
    return made if beside is None else beside.attached(made, len(models))


def _check_kept_alike(like: Representation, options: Options) -> None:
    """Raise, before any model runs, where its Gram vectors would be kept otherwise than those of `like`."""
    held = [
        "all" if kept is None else f"sketches of {kept.size:,} with seed {kept.seed}"
        for kept in (like.projection, options.projection)
    ]
    if held[0] != held[1]:
        raise ValueError(
            f"{like.name} holds {held[0]} of its Gram vectors, and {held[1]} would be kept now: give sketch= and seed= "
            "as they were then, or leave them out as they were"
        )
