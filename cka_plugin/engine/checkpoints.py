"""Long work survives: a folder keeps every finished minibatch of every model, and a killed run goes on where it was.

The folder holds `run.json` (how the data are read and the models run), and for each model a folder with `model.json`
(its layers and a hash of its weights), `layers.json` (those that fired), and one `.safetensors` file a finished
minibatch.
Every file is written atomically, so whatever exists is whole. What is kept is what the forward pass left, before
anything is
added up: going on gives the same bits as one undisturbed run. A shard or a rank of many processes keeps its minibatches
in the
same folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cka_plugin.adapters.base import Layer
from cka_plugin.capture.hooks import Captured
from cka_plugin.data import Batch
from cka_plugin.models.subject import Subject
from cka_plugin.storage.tensorfile import read_tensors, write_atomically, write_tensors

VERSION = 1
ABANDONED = 600  # seconds after which a temporary file is no longer being written by anybody
_ARRAYS = ("vectors", "diagonals", "exponents", "logits")


@dataclass(frozen=True)
class Finished:
    """One finished minibatch of one model: its examples (without their content) and what the forward pass left."""

    batch: Batch
    captured: Captured


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
        self.folder.mkdir(parents=True, exist_ok=True)
        _agree(self.folder / "run.json", {"version": VERSION, **run}, f"checkpoint_dir {self.folder}")

    def of_model(self, subject: Subject) -> ModelCheckpoint:
        """The part of one model.

        Raises:
            ValueError: the folder holds another model of this name, or this one with other weights.
        """
        readable = re.sub(r"[^\w.-]+", "_", subject.name)[:60]
        unique = hashlib.blake2b(subject.name.encode("utf-8"), digest_size=4).hexdigest()
        return ModelCheckpoint(self.folder / f"{readable}-{unique}", subject)


class ModelCheckpoint:
    """The finished minibatches of one model.

    Attributes:
        finished: numbers of the minibatches that are there.
    """

    def __init__(self, folder: Path, subject: Subject) -> None:
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
        self.finished = {int(path.stem) for path in folder.glob("[0-9]*.safetensors")}

    def layers(self) -> list[Layer] | None:
        """The layers that fired; None where no minibatch is finished."""
        path = self.folder / "layers.json"
        return [Layer(**layer) for layer in json.loads(path.read_text("utf-8"))] if path.exists() else None

    def keep(self, batch: Batch, captured: Captured, layers: list[Layer]) -> None:
        """Write one minibatch.

        Raises:
            RuntimeError: the model ran other layers than in the earlier minibatches.
            OSError: the disk is full.
        """
        known = self.layers()
        if known is None:
            _write_json(self.folder / "layers.json", [asdict(layer) for layer in layers])
        elif known != layers:
            raise RuntimeError(
                f"{self.name} ran other layers than in the finished minibatches of {self.folder.parent}: "
                f"{len(layers)} and {len(known)}; its layers depend on the input, so start with an empty checkpoint_dir"
            )
        tensors = {name: getattr(captured, name) for name in _ARRAYS if getattr(captured, name) is not None}
        tensors |= {"ranks": batch.places, "fingerprints": batch.fingerprints}
        if batch.labels is not None:
            tensors["labels"] = batch.labels
        about = {"pass": batch.pass_index, "ids": batch.ids, "skipped": batch.skipped}
        path = self.folder / f"{batch.index}.safetensors"
        write_atomically(path, lambda file: write_tensors(file, tensors, {"minibatch": json.dumps(about)}))
        self.finished.add(batch.index)

    def load(self, index: int) -> Finished:
        """Read one minibatch.

        Raises:
            ValueError: its file was damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = self.folder / f"{index}.safetensors"
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = json.loads(file.metadata()["minibatch"])
            held = read_tensors(path, mapped_from=2**62)  # read whole: it may yet be brought to another scale
            captured = Captured(*(held.get(name) for name in _ARRAYS))  # type: ignore[arg-type]
            batch = Batch(
                index,
                about["pass"],
                held["ranks"],
                about["ids"],
                held["fingerprints"],
                held.get("labels"),
                skipped=about["skipped"],
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}; delete it, and its minibatch is run again") from error
        return Finished(batch, captured)

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


def weights_hash(module: torch.nn.Module) -> str:
    """A hash of every parameter and buffer, by name.

    Example:
        >>> layer = torch.nn.Linear(2, 2)
        >>> before = weights_hash(layer)
        >>> _ = layer.weight.data.add_(1.0)
        >>> weights_hash(layer) == before
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for part in _plain_tensors(tensor.detach()):
            value = part.cpu().contiguous().flatten()
            digest.update(value.view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _plain_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a tensor is made of: itself, or the parts of a quantised or sharded one."""
    if tensor.layout != torch.strided:
        yield tensor.to_dense()
    elif hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _plain_tensors(getattr(tensor, name))
    else:
        yield tensor


def hash_of(*parts: Any) -> str:
    """A hash of plain data and arrays, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()


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
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; give an empty folder as checkpoint_dir") from error
    unlike = [key for key in {**before, **described} if before.get(key) != described.get(key)]
    if unlike:
        what = "; ".join(_difference(key, before.get(key), described.get(key)) for key in unlike)
        raise ValueError(f"{where} of another run, which differs in {what}: give its options again, or another folder")


def _difference(key: str, before: Any, now: Any) -> str:
    if key in ("weights", "data"):
        return f"its {key}"
    if isinstance(before, list) or isinstance(now, list):
        return f"its {key} ({len(before or [])} there, {len(now or [])} now)"
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
