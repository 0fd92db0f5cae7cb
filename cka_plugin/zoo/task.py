"""What a worker does: run one model over the data and leave its file."""

from __future__ import annotations

import multiprocessing
import os
import platform
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin.engine.hashes import hash_of
from cka_plugin.engine.over_data import over_data
from cka_plugin.lending.identity import weights_hash
from cka_plugin.models.building import built
from cka_plugin.models.subject import check_used, subject
from cka_plugin.options import Options
from cka_plugin.representation.folder import DONE, FAILED
from cka_plugin.storage import CHECKSUM, read_metadata
from cka_plugin.version import __version__
from cka_plugin.warnings import CKAWarning
from cka_plugin.zoo.devices import claimed_device

UNCHANGED = "unchanged"
_PACKAGES = ("torch", "numpy", "timm", "transformers", "torchvision")
# Models draw random numbers and loaders shuffle by the states of the whole process: two at once would disturb them.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Task:
    """One model to run.

    Attributes:
        name: in comparisons.
        model: a name, a path, a module, or a function without arguments that makes one.
        data: as the user gave them.
        path: of the file to write.
        options: of this model.
        asked: `model`, `options` and `data` for the manifest.
        why: it is run; None where it is only where its weights have changed.
        weights: what they were.
        sender: the process that sent it.
    """

    name: str
    model: Any
    data: Any
    path: Path
    options: Options
    asked: Mapping[str, Any]
    why: str | None
    weights: str | None
    sender: int


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        state: `done`, `failed` or `unchanged`.
        entry: for the manifest; of what is unchanged none.
        said: warnings of a worker in another process.
    """

    state: str
    entry: Mapping[str, Any] | None
    said: tuple[str, ...] = ()


def represent_one(task: Task) -> Outcome:
    """Run a model, unless it is there with the same weights; an error is an outcome like another."""
    elsewhere = os.getpid() != task.sender
    with _one_at_a_time, warnings.catch_warnings(record=elsewhere) as caught:
        if elsewhere:
            warnings.simplefilter("always")
        try:
            with claimed_device(task.options.device) as device:
                outcome = _represented(task, replace(task.options, device=device))
        except Exception as error:
            outcome = Outcome(FAILED, failed(task, f"{type(error).__name__}: {error}"))
    said = [str(one.message) for one in caught or [] if issubclass(one.category, CKAWarning)]
    return replace(outcome, said=tuple(dict.fromkeys(said)))


def failed(task: Task, error: str) -> dict[str, Any]:
    """The entry of a model that failed."""
    return {"file": task.path.name, "state": FAILED, "error": error, **task.asked, "finished": _now()}


def _represented(task: Task, options: Options) -> Outcome:
    began = time.perf_counter()
    if multiprocessing.current_process().daemon and options.workers == "auto":
        options = replace(options, workers=0)  # such a process (a worker of Dask) may have none of its own
    root = _model_of(task, options)
    # From here on it is a module, which names, weights and settings were for.
    options = replace(options, pretrained=True, checkpoint=None, model_kwargs=None)
    weights = _identity(task.name, root, options)
    if task.why is None and weights == task.weights:
        return Outcome(UNCHANGED, None)
    (made,) = over_data([(task.name, root)], task.data, options)
    made.save(task.path)
    about = made.options.get("model") or {}
    entry = {
        "file": task.path.name,
        "state": DONE,
        "because": task.why or "weights have changed",
        **task.asked,
        "weights": weights,
        "versions": _versions(),
        "layers": len(made.layers),
        "parameters": about.get("parameters"),
        "family": about.get("family"),
        "examples": made.n_examples,
        "minibatches": len(made.minibatches),
        "accuracy": made.accuracy,
        "bytes": task.path.stat().st_size,
        "checksum": read_metadata(task.path)[CHECKSUM],
        "seconds": round(time.perf_counter() - began, 3),
        "finished": _now(),
    }
    return Outcome(DONE, entry)


def _model_of(task: Task, options: Options) -> Any:
    model = task.model
    if callable(model) and not isinstance(model, nn.Module):
        model = model()
    if isinstance(model, str | os.PathLike):
        check_used([(task.name, model)], options)
        return built(os.fspath(model), options)
    if options.part is None and not isinstance(model, nn.Module):
        raise TypeError(f"{task.asked['model']} made {type(model).__name__}: expected an nn.Module or a model's name")
    return model


def _identity(name: str, root: Any, options: Options) -> str:
    """A hash of the weights, and of which layers of the model are compared and how its inputs are made."""
    found = subject(name, root, options)
    return hash_of(weights_hash(found.module), [vars(layer) for layer in found.layers], found.prepared)


def _versions() -> dict[str, str]:
    found = {"cka_plugin": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
