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
from cka_plugin.storage import (
    MALFORMED,
    Damaged,
    Unread,
    at_hand,
    read_metadata,
    read_tensors,
    write_atomically,
    write_tensors,
)

FORMAT = "cka_plugin"
VERSION = 2  # 1 had no checksums
ATTACHED = "attached"


@dataclass(frozen=True)
class Record:
    """One thing in a file: plain data that JSON can hold, and arrays by name."""

    about: Mapping[str, Any]
    arrays: Mapping[str, Array | Unread]


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
    attached: Mapping[str, Array | Unread] = field(default_factory=dict)


def write(path: str | os.PathLike[str], saved: Saved) -> Path:
    """Write one file, atomically.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors = {f"{ATTACHED}/{name}": at_hand(array) for name, array in saved.attached.items()}
    for number, record in enumerate(saved.records):
        tensors |= {f"{number}/{name}": at_hand(array) for name, array in record.arrays.items()}
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": saved.kind,
        "models": json.dumps([dict(record.about) for record in saved.records]),
        **saved.notes,
    }
    return write_atomically(path, lambda file: write_tensors(file, tensors, metadata))


def read(path: str | os.PathLike[str], mapped_from: int | None = None) -> Saved:
    """Read a file of this package. The arrays of a large one are read, and checked, when they are used.

    Args:
        path: of the file.
        mapped_from: bytes from which on it is large.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: truncated, damaged, foreign, or of a newer format.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a .safetensors file written by this package")
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by cka_plugin: expected a file made with save()")
    with naming(path):
        version = int(metadata["version"])
        if version > VERSION:
            raise Damaged(
                f"{path} has format version {version}, this cka_plugin reads up to {VERSION}: upgrade cka-plugin to "
                "read it"
            )
        file = read_tensors(path, mapped_from, checksums=version > 1)
        held: dict[str, dict[str, Array | Unread]] = {}
        for name, array in file.arrays.items():
            owner, _, own_name = name.partition("/")
            held.setdefault(owner, {})[own_name] = array
        described = json.loads(metadata["models"])
        if not (described and isinstance(described, list) and all(isinstance(about, dict) for about in described)):
            raise ValueError("its models are no list of descriptions")
        records = [Record(about, held.get(str(number), {})) for number, about in enumerate(described)]
        return Saved(metadata["kind"], records, metadata, held.get(ATTACHED, {}))


def is_saved(path: str | os.PathLike[str]) -> bool:
    """Whether `path` looks like a file of this package: a `.safetensors` file with our metadata."""
    try:
        return Path(path).is_file() and read_metadata(Path(path)).get("format") == FORMAT
    except (ValueError, OSError):
        return False


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, what goes wrong is the fault of what the file at `path` holds: a ValueError that names it."""
    try:
        yield
    except Damaged:
        raise
    except MALFORMED as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise Damaged(f"{path} is damaged: {kind}{error}") from error
