"""The file format: one `.safetensors` file of records, each of arrays and plain data. Never pickle; written atomically.

Arrays are named `{record}/{name}`, with records numbered from 0, and `attached/{name}` where they belong to none;
everything else is JSON in the header's metadata, with the format's version. What a record means is for others to say.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cka_plugin.representation.minibatch import Array
from cka_plugin.storage.tensorfile import read_tensors, write_atomically, write_tensors

FORMAT = "cka_plugin"
VERSION = 1
ATTACHED = "attached"


@dataclass(frozen=True)
class Record:
    """One thing in a file: plain data that JSON can hold, and arrays by name."""

    about: Mapping[str, Any]
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    Attributes:
        kind: of thing, such as `representation`.
        records: one or more.
        notes: texts that concern all of them.
        attached: arrays that go with them, under names of their own.
    """

    kind: str
    records: Sequence[Record]
    notes: Mapping[str, str] = field(default_factory=dict)
    attached: Mapping[str, Array] = field(default_factory=dict)


def write(path: str | os.PathLike[str], saved: Saved) -> Path:
    """Write one file, atomically.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors = {f"{ATTACHED}/{name}": array for name, array in saved.attached.items()}
    for number, record in enumerate(saved.records):
        tensors |= {f"{number}/{name}": array for name, array in record.arrays.items()}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": saved.kind,
        "models": json.dumps([dict(record.about) for record in saved.records]),
        **saved.notes,
    }
    return write_atomically(path, lambda file: write_tensors(file, tensors, metadata))


def read(path: str | os.PathLike[str]) -> Saved:
    """Read a file of this package. The arrays of a large one are read when they are used (`tensorfile.read_tensors`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: truncated, foreign, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a .safetensors file written by this package")
    metadata = _read_metadata(path)
    if metadata is None:
        raise ValueError(f"{path} was not written by cka_plugin: expected a file made with save()")
    if int(metadata["version"]) > VERSION:
        raise ValueError(
            f"{path} has format version {metadata['version']}, this cka_plugin reads up to {VERSION}: upgrade "
            "cka-plugin to read it"
        )
    with naming(path):
        held: dict[str, dict[str, Array]] = {}
        for name, array in read_tensors(path).items():
            owner, _, own_name = name.partition("/")
            held.setdefault(owner, {})[own_name] = array
        records = [
            Record(about, held.get(str(number), {})) for number, about in enumerate(json.loads(metadata["models"]))
        ]
        return Saved(metadata["kind"], records, metadata, held.get(ATTACHED, {}))


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Whether `path` looks like a file of this package: a `.safetensors` file with our metadata."""
    try:
        return Path(path).is_file() and _read_metadata(Path(path)) is not None
    except (ValueError, OSError):
        return False


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, what goes wrong is the fault of what the file at `path` holds: a ValueError that names it."""
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _read_metadata(path: Path) -> dict[str, str] | None:
    """The metadata of our files; None for a safetensors file of others."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or not a .safetensors file: {error}") from error
    return metadata if metadata.get("format") == FORMAT else None
