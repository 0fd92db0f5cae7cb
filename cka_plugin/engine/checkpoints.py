"""Long work survives: a folder keeps every finished minibatch of every model, and a killed run goes on where it was.

The folder holds `run.json` (how the data are read and the models run), and for each model a folder with `model.json`
(its layers and a hash of its weights), `layers.json` (those that fired), and one `.safetensors` file a finished
minibatch. Every file is written atomically, so whatever exists is whole; checksums, and in each minibatch its number
and a hash of the run and model that it is of, show what was damaged or put there since. What is kept is what the
forward pass left, before anything is added up: going on gives the same bits as one undisturbed run. A shard or a rank
of many processes keeps its minibatches in the same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.capture.captured import Captured
from cka_plugin.core import Projection
from cka_plugin.data import Batch
from cka_plugin.engine.finished import VERSION, Finished, read_finished, write_finished
from cka_plugin.engine.hashes import hash_of
from cka_plugin.lending.identity import weights_hash
from cka_plugin.models.subject import Subject
from cka_plugin.storage import MALFORMED, write_atomically

ABANDONED = 600  # seconds after which a temporary file is no longer being written by anybody


class Checkpoint:
    """A folder that keeps finished minibatches.

    Args:
        folder: made where it does not exist; it may hold an earlier, unfinished or finished run of the same kind.
        run: how the data are read and the models are run, as plain data.

    Raises:
        ValueError: the folder holds another run; the message says what differs.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.run = {"version": VERSION, **run}
        self.folder.mkdir(parents=True, exist_ok=True)
        _agree(self.folder / "run.json", self.run, f"checkpoint_dir {self.folder}")

    def of_model(self, subject: Subject) -> ModelCheckpoint:
        """The part of one model.

        Raises:
            ValueError: the folder holds another model of this name, or this one with other weights.
        """
        readable = re.sub(r"[^\w.-]+", "_", subject.name)[:60]
        unique = hashlib.blake2b(subject.name.encode("utf-8"), digest_size=4).hexdigest()
        return ModelCheckpoint(self.folder / f"{readable}-{unique}", subject, self.run)


class ModelCheckpoint:
    """The finished minibatches of one model.

    Attributes:
        finished: numbers of the minibatches that are there.
    """

    def __init__(self, folder: Path, subject: Subject, run: Mapping[str, Any]) -> None:
        self.folder = folder
        self.name = subject.name
        folder.mkdir(exist_ok=True)
        _remove_abandoned(folder)
        described = {
            "name": subject.name,
            "layers": [asdict(layer) for layer in subject.layers],
            "preparation": None if subject.preparation is None else subject.preparation.description,
            "weights": weights_hash(subject.module),
        }
        _agree(folder / "model.json", described, f"checkpoint_dir {folder.parent} holds a model {subject.name!r}")
        self.identity = hash_of(dict(run), described)
        self._projection = Projection.recorded(run.get("sketch"))
        self.finished = {int(path.stem) for path in folder.glob("[0-9]*.safetensors")}

    def layers(self) -> list[Layer] | None:
        """The layers that fired; None where no minibatch is finished.

        Raises:
            ValueError: the file that lists them was damaged.
        """
        path = self.folder / "layers.json"
        if not path.exists():
            return None
        try:
            held = json.loads(path.read_text("utf-8"))
            described = held if isinstance(held, list) else held["layers"]  # a list in version 1
            if isinstance(held, dict) and held["checksum"] != hash_of(described):
                raise ValueError("it is not what was written there (its checksum differs)")
            return [Layer(**layer) for layer in described]
        except MALFORMED as error:
            raise ValueError(f"{path} is damaged: {error}; give an empty folder as checkpoint_dir") from error

    def keep(self, batch: Batch, captured: Captured, layers: list[Layer]) -> None:
        """Write one minibatch.

        Raises:
            RuntimeError: the model ran other layers than in the earlier minibatches.
            OSError: the disk is full.
        """
        known = self.layers()
        if known is None:
            described = [asdict(layer) for layer in layers]
            _write_json(self.folder / "layers.json", {"layers": described, "checksum": hash_of(described)})
        elif known != layers:
            raise RuntimeError(
                f"{self.name} ran other layers than in the finished minibatches of {self.folder.parent}: "
                f"{len(layers)} and {len(known)}; its layers depend on the input, so start with an empty checkpoint_dir"
            )
        write_finished(self._path(batch.index), Finished(batch, captured), self.identity)
        self.finished.add(batch.index)

    def load(self, index: int) -> Finished:
        """Read one minibatch.

        Raises:
            ValueError: its file was damaged, or is of another minibatch, run or model.
        """
        path = self._path(index)
        try:
            layers = self.layers()
            if layers is None:
                raise ValueError(f"{path.with_name('layers.json')} is missing, which lists its layers")
            return read_finished(path, index, self.identity, len(layers), self._projection)
        except ValueError as error:
            raise ValueError(f"{error}; delete {path.name}, and its minibatch is run again") from error

    def _path(self, index: int) -> Path:
        return self.folder / f"{index}.safetensors"

    def check_same_examples(self, batch: Batch) -> None:
        """Raise a ValueError unless a finished minibatch was of these examples."""
        before = self.load(batch.index).batch
        unlike = before.ids != batch.ids or not np.array_equal(before.fingerprints, batch.fingerprints)
        if unlike or not _same(before.labels, batch.labels):
            what = "examples" if unlike else "labels"
            raise ValueError(
                f"checkpoint_dir {self.folder.parent} is of other data: the {what} of minibatch {batch.index} have "
                "changed; give the data as they were, or an empty folder"
            )


def _same(a: Any, b: Any) -> bool:
    return (a is None) == (b is None) and (a is None or np.array_equal(a, b))


def _agree(path: Path, described: dict[str, Any], where: str) -> None:
    """Write a description, or compare it with what is there."""
    described = json.loads(json.dumps(described, default=str))
    if not path.exists():
        _write_json(path, described)
        return
    try:
        before = json.loads(path.read_text("utf-8"))
        if not isinstance(before, dict):
            raise ValueError(f"it holds {type(before).__name__} where a description is expected")
    except MALFORMED as error:
        raise ValueError(f"{path} is damaged: {error}; give an empty folder as checkpoint_dir") from error
    if described.get("version") == 2 and before.get("version") == 1:
        before["version"] = 2  # whose minibatches can still be read
    unlike = [key for key in {**before, **described} if before.get(key) != described.get(key)]
    if unlike:
        what = "; ".join(_difference(key, before.get(key), described.get(key)) for key in unlike)
        raise ValueError(f"{where} of another run, which differs in {what}: give its options again, or another folder")


def _difference(key: str, before: Any, now: Any) -> str:
    if key in ("weights", "data"):
        return f"its {key}"
    if isinstance(before, list) and isinstance(now, list):
        return f"its {key} ({len(before)} there, {len(now)} now)"
    return f"{key} ({before!r} there, {now!r} now)"


def _write_json(path: Path, value: Any) -> None:
    write_atomically(path, lambda file: file.write(json.dumps(value, indent=1).encode("utf-8")))


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed runs were writing; another process may just now be writing its own."""
    for path in folder.glob(".*.part"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
        except FileNotFoundError:  # the other process has finished it
            continue
