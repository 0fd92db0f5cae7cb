"""`cka-plugin zoo`: many models over the same data, by several processes of this machine."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cka_plugin.cli.app import DataOption, JsonOption, print_json
from cka_plugin.cli.messages import say
from cka_plugin.cli.options import command

if TYPE_CHECKING:
    from cka_plugin.zoo.estimate import Estimate
    from cka_plugin.zoo.task import Task


@command("represent_all")
def zoo(
    models: Annotated[
        list[str],
        typer.Argument(
            help="patterns of timm's names ('resnet*'; 'resnet50.*' with the tags of weights) or of another framework "
            "('torchvision:resnet*'), names, local Hugging Face folders, python:package.module:function"
        ),
    ],
    data: DataOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="the folder for the files and their manifest")],
    workers: Annotated[
        int, typer.Option(min=1, help="processes, each running one model at a time; they share the cores")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, and stop")] = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Run many models over the same data, a file each; it goes on where it was stopped."""
    from cka_plugin.executors import over_executor
    from cka_plugin.models.names import named
    from cka_plugin.models.patterns import names_of
    from cka_plugin.options import Options
    from cka_plugin.storage import budget_bytes
    from cka_plugin.workers import how_many
    from cka_plugin.zoo.estimate import Asked, estimate
    from cka_plugin.zoo.run import planned, run_tasks
    from cka_plugin.zoo.workers import ProcessWorkers

    given = Options(**options)
    chosen = named(names_of(models, given.pretrained), given.part)
    given.check_names(name for name, _ in chosen)
    tasks = planned(chosen, data, out, given)
    with ProcessWorkers(workers) as executor:
        asked = [Asked(task.name, str(task.model), data, given) for task in tasks if task.why is not None]
        found = [result for _, result, _ in sorted(over_executor(executor, estimate, asked))]
        if as_json and dry_run:
            print_json([described(one) for one in found])
        elif not as_json:
            show_plan(tasks, found, workers, out)
        if dry_run:
            return
        # Several processes share the same cores and the same free memory.
        budget, readers = budget_bytes(given.max_memory) // workers, how_many("auto", sharing=workers)
        tasks = [replace(task, options=replace(task.options, max_memory=budget, workers=readers)) for task in tasks]
        files = run_tasks(tasks, out, executor, given.progress, "raise")
    if as_json:
        print_json({"files": [str(file) for file in files]})
    else:
        say(f"{len(files)} models are in {out}; compare them: cka-plugin compare {out}")


def show_plan(tasks: Sequence[Task], found: Sequence[Estimate], workers: int, out: Path) -> None:
    """What will be run and why, of what size, in roughly what time.

    Args:
        tasks: all of the call.
        found: what those will take that are sure to be run, in their order.
        workers: processes.
        out: where the files go.
    """
    from cka_plugin.cli.console import show_table

    run = [task for task in tasks if task.why is not None]
    rows = []
    for task, one in zip(run, found, strict=True):
        told = task.why if one.error is None else f"cannot be looked at: {one.error}"
        rows.append((task.name, one.layers or "-", _count(one.parameters), _size(one.bytes), _time(one.seconds), told))
    if rows:
        show_table(["model", "layers", "parameters", "file", "about", "why"], rows, right=(1, 2, 3, 4))
    size = sum(one.bytes for one in found if math.isfinite(one.bytes))
    known = [one.seconds for one in found if math.isfinite(one.seconds)]
    # No longer than one after the other, no shorter than the longest.
    total = max(sum(known) / workers, max(known, default=0.0))
    unknown = f" and {len(found) - len(known)} of unknown time" if len(known) < len(found) else ""
    at = f"{workers} processes" if workers > 1 else "1 process"
    say(f"{len(run)} models to run: {_size(size)} of files, about {_time(total)}{unknown} with {at}.")
    if len(run) < len(tasks):
        say(f"{len(tasks) - len(run)} models are in {out} already: they are run only if their weights have changed.")
    free = shutil.disk_usage(next(folder for folder in (out, *out.absolute().parents) if folder.exists())).free
    if size > free:
        raise OSError(f"the files need {_size(size)}, and {_size(free)} are free where {out} lies")


def described(one: Estimate) -> dict[str, Any]:
    """An estimate as JSON holds it."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in vars(one).items()}


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number else "-"


def _size(size: float) -> str:
    if not math.isfinite(size):
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
