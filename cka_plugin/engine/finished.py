"""One finished minibatch of one model in a file: what the forward pass left, before anything is added up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.capture.captured import Captured
from cka_plugin.core import Projection, values_kept
from cka_plugin.data import Batch
from cka_plugin.storage import (
    MALFORMED,
    Damaged,
    TensorFile,
    array_of,
    at_hand,
    plain,
    read_metadata,
    read_tensors,
    write_atomically,
    write_tensors,
)

VERSION = 2  # of what is kept; 1 had no checksums
_ARRAYS = ("vectors", "diagonals", "exponents", "logits")
_ABOUT = {
    "pass": plain.count,
    "ids": plain.list_of(plain.example_id),
    "skipped": plain.list_of(plain.example_id),
}


@dataclass(frozen=True)
class Finished:
    """One finished minibatch of one model: its examples (without their content) and what the forward pass left."""

    batch: Batch
    captured: Captured


def write_finished(path: Path, finished: Finished, identity: str) -> None:
    """Write one minibatch.

    Args:
        path: of the file.
        finished: the minibatch.
        identity: of the run and model that it is of.

    Raises:
        OSError: the disk is full.
    """
    batch, captured = finished.batch, finished.captured
    tensors = {name: getattr(captured, name) for name in _ARRAYS if getattr(captured, name) is not None}
    tensors |= {"ranks": batch.places, "fingerprints": batch.fingerprints}
    about: dict[str, Any] = {"index": batch.index, "of": identity, "pass": batch.pass_index}
    if batch.labels is not None and batch.labels.dtype.kind == "U":  # words: the whole data give their numbers
        about["words"] = batch.labels.tolist()
    elif batch.labels is not None:
        tensors["labels"] = batch.labels
    about |= {"ids": batch.ids, "skipped": batch.skipped, "rows": captured.rows}
    about |= {"width": captured.width}
    metadata = {"version": str(VERSION), "minibatch": json.dumps(about)}
    write_atomically(path, lambda file: write_tensors(file, tensors, metadata))


def read_finished(path: Path, index: int, identity: str, layers: int, projection: Projection | None = None) -> Finished:
    """Read one minibatch.

    Args:
        path: of the file.
        index: the number that it must have.
        identity: of the run and model that it must be of.
        layers: how many there must be.
        projection: which their vectors are kept as.

    Raises:
        ValueError: it was damaged, or is of another minibatch, run or model.
    """
    try:
        versioned = "version" in read_metadata(path)
        # Read whole: it may yet be brought to another scale.
        return _checked(
            read_tensors(path, mapped_from=2**62, checksums=versioned), index, identity, (layers, projection)
        )
    except Damaged:
        raise
    except MALFORMED as error:
        said = str(error).removeprefix(f"{path} is ")
        raise Damaged(f"{path} is damaged: {said}") from error


def _checked(file: TensorFile, index: int, identity: str, kept: tuple[int, Projection | None]) -> Finished:
    """What the file holds, once it is seen to be of that minibatch."""
    layers, projection = kept
    about = json.loads(file.metadata["minibatch"])
    if "version" in file.metadata and (about["index"], about["of"]) != (index, identity):
        other = f"minibatch {about['index']}" if about["index"] != index else "another run or model"
        raise ValueError(f"it is of {other}")
    for name, fits in _ABOUT.items():
        if not fits(about[name]):
            raise ValueError(f"its {name} is {about[name]!r:.80}")
    width = about.get("width", 0)  # which was not kept at first
    if not plain.count(width):
        raise ValueError(f"its width is {width!r:.80}")
    rows = about.get("rows", {})
    if not isinstance(rows, dict) or not all(isinstance(told, str) for told in rows.values()):
        raise ValueError(f"its rows are {rows!r:.80}")
    n = len(about["ids"])
    words = about.get("words")
    if words is not None and not (len(words) == n and all(isinstance(word, str) for word in words)):
        raise ValueError(f"its labels are {words!r:.80}")
    shapes: dict[str, tuple[tuple[int | None, ...], str]] = {
        "vectors": ((layers, values_kept(n, projection)), "f4"),
        "diagonals": ((layers, n), "f4"),
        "exponents": ((layers,), "i8"),
        "logits": ((n, None), "f4"),
        "ranks": ((n,), "i8"),
        "fingerprints": ((n,), "u8"),
        "labels": ((n,), "i8"),
    }
    needed = {name: fit for name, fit in shapes.items() if name in file.arrays or name not in ("logits", "labels")}
    held = {name: at_hand(array_of(file.arrays, name, *fit)) for name, fit in needed.items()}
    arrays = held["vectors"], held["diagonals"], held["exponents"], held.get("logits")
    captured = Captured(*arrays, rows=rows, width=width)
    batch = Batch(
        index,
        about["pass"],
        held["ranks"],
        about["ids"],
        held["fingerprints"],
        np.array(words, dtype=np.str_) if words else held.get("labels"),
        skipped=about["skipped"],
    )
    return Finished(batch, captured)
