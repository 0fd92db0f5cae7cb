"""A zoo: every model by one worker of an executor, and only those that are missing or have changed."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cka_plugin.data import ReadOptions, open_data
from cka_plugin.engine import ranks
from cka_plugin.engine.progress import counted
from cka_plugin.executors import check_executor, over_executor
from cka_plugin.models.names import is_saved
from cka_plugin.options import Options
from cka_plugin.representation.folder import DONE, FAILED
from cka_plugin.warnings import warn
from cka_plugin.wording import for_terminal, listed
from cka_plugin.zoo.asked import data_asked, model_asked, options_asked
from cka_plugin.zoo.manifest import Manifest, why_again
from cka_plugin.zoo.task import Outcome, Task, failed, represent_one

ON_FAILURE = ("raise", "warn")


def run_zoo(
    models: Sequence[tuple[str, Any]], data: Any, folder: Path, executor: Any, options: Options, on_failure: str
) -> list[Path]:
    """Run every model that is missing in a folder, or has changed.

    Args:
        models: each with its name.
        data: as the user gave them.
        folder: for the files and the manifest.
        executor: anything with `submit`, or None.
        options: of the call.
        on_failure: `raise` or `warn`, once all others are done.

    Returns:
        The files of all models that there are now, in the order of the models.
    """
    check_executor(executor)
    if on_failure not in ON_FAILURE:
        raise ValueError(f"on_failure {on_failure!r}: expected 'raise' or 'warn'")
    return run_tasks(planned(models, data, folder, options), folder, executor, options.progress, on_failure)


def run_tasks(tasks: Sequence[Task], folder: Path, executor: Any, progress: bool, on_failure: str) -> list[Path]:
    """Do what was planned, with a bar over all models; what is said of it and returned is that of `run_zoo`."""
    if ranks.world()[1] > 1:
        raise ValueError(
            "represent_all gives each model to a worker of an executor; within a process group of torch.distributed, "
            "whose ranks share the minibatches of a model, use represent"
        )
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(folder, [task.name for task in tasks])
    broken: dict[str, str] = {}
    said: dict[str, list[str]] = {}  # by workers elsewhere, of which models
    because: Counter[str] = Counter()
    with counted(len(tasks), "models", progress) as bar:
        for number, outcome, error in over_executor(executor, represent_one, tasks):
            task = tasks[number]
            if error is not None:
                outcome = Outcome(FAILED, failed(task, f"{type(error).__name__}: {error}"))
            for sentence in outcome.said:
                said.setdefault(sentence, []).append(task.name)
            if outcome.entry is not None:
                manifest.keep(task.name, outcome.entry)
            if outcome.state == FAILED and outcome.entry is not None:
                broken[task.name] = str(outcome.entry["error"])
            because[_because(outcome)] += 1
            bar.set_postfix_str(for_terminal(task.name), refresh=False)
            bar.update()
    for sentence, names in said.items():
        warn(f"{listed(names, 4)}: {sentence}")
    if progress:
        told = ", ".join(f"{count} {why}" for why, count in because.most_common())
        print(for_terminal(f"{folder}: {len(tasks)} models: {told}"), file=sys.stderr)
    if broken:
        _say(broken, len(tasks), folder, on_failure)
    return [folder / task.path.name for task in tasks if task.name not in broken]


def planned(models: Sequence[tuple[str, Any]], data: Any, folder: Path, options: Options) -> list[Task]:
    """What there is to do for each model, in their order.

    Raises:
        ValueError, TypeError, OSError: data, or models, that cannot be used.
    """
    for name, model in models:
        if is_saved(model):
            raise ValueError(f"{name} is a saved representation, which need not be run: represent_all takes models")
    if hasattr(data, "__next__"):
        raise ValueError(
            f"the {type(data).__name__} can be read once only, and every model of a zoo reads the data: give a "
            "DataLoader, a Dataset, arrays, or a path"
        )
    source, read = open_data(data, options.labels), ReadOptions.of(options)
    source.count(read)
    manifest = Manifest(folder)
    before = next((entry["data"] for entry in manifest.models.values() if entry.get("data")), None)
    found = data_asked(data, source, read, before)
    files = manifest.files(name for name, _ in models)
    # Workers may be in another folder.
    given = os.path.abspath(data) if isinstance(data, str | os.PathLike) and Path(data).exists() else data
    tasks = []
    for name, model in models:
        own = options.of_model(name)
        asked = {"model": model_asked(model), "options": options_asked(own), "data": found}
        held = manifest.finished(name)
        why = why_again(manifest.models.get(name), held, asked)
        weights = None if held is None else held.get("weights")
        path = folder.absolute() / files[name]
        tasks.append(Task(name, model, given, path, _quiet(own), asked, why, weights, os.getpid()))
    return tasks


def _because(outcome: Outcome) -> str:
    """What is said of a model in the end: `unchanged`, `failed`, or why it was run."""
    return str(outcome.entry["because"]) if outcome.state == DONE and outcome.entry is not None else outcome.state


def _quiet(options: Options) -> Options:
    """Without a bar of its own beside that over all models."""
    return replace(options, progress=False)


def _say(broken: dict[str, str], count: int, folder: Path, on_failure: str) -> None:
    """All models that failed, in one error or warning."""
    each = [f"{name} ({error.splitlines()[0][:300] if error else error})" for name, error in broken.items()]
    said = (
        f"{len(broken)} of {count} models failed: {listed(each, 10)}. The others are in {folder}, whose manifest has "
        "all errors; the same call again runs these alone"
    )
    if on_failure == "raise":
        raise RuntimeError(said)
    warn(said)
