"""Files as chance or somebody's hand changes them: flipped bits, lost bytes, other values in their metadata."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.storage import CHECKSUM, at_hand, read_tensors, write_tensors

# What a careless or hostile hand may put in the place of a value.
VALUES: list[Any] = [None, True, -1, 0, 3, 2**70, 0.5, float("nan"), "", "x", "\x1b[31m"]
VALUES += [[], [1], [[1, 2, 3]], {}, {"a": 1}]


def refused(use: Callable[[], object], name: str) -> bool:
    """Whether `use` raises a ValueError that holds a name; any other error is raised on."""
    try:
        use()
    except ValueError as error:
        if name in str(error):
            return True
        raise
    return False


def flipped(content: bytes, rng: random.Random) -> bytes:
    """With one bit another."""
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


def mangled(content: bytes, rng: random.Random) -> bytes:
    """With a stretch of bytes lost, doubled, or others in its place."""
    start = rng.randrange(len(content))
    stop = min(len(content), start + rng.choice([1, 4, 8, 100, 1000]))
    part = content[start:stop]
    middle = rng.choice([b"", part + part, bytes(len(part)), bytes(rng.randrange(256) for _ in part)])
    return content[:start] + middle + content[stop:]


def with_other_values(value: Any, rng: random.Random) -> Any:
    """Plain data with one value, somewhere in it, replaced, taken out or doubled."""
    places = list(_places(value))
    holder, key = rng.choice(places)
    what = rng.random()
    if what < 0.2 and isinstance(holder, dict):
        del holder[key]
    elif what < 0.3 and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[key] = rng.choice(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(inner):
        yield value, key
        yield from _places(item)


def rewritten(path: Path, rng: random.Random, key: str, checksums: bool = True) -> bytes:
    """A file with another value in the JSON of its metadata (or its metadata, or an array), made to look untouched.

    Args:
        path: of the file.
        rng: what chooses.
        key: of the metadata, whose value is JSON.
        checksums: with checksums that fit; else as version 1 had it, without any.
    """
    held = read_tensors(path)
    metadata = {name: text for name, text in held.metadata.items() if not name.startswith(CHECKSUM)}
    arrays = {name: at_hand(array) for name, array in held.arrays.items()}
    what = rng.random()
    if what < 0.7:
        metadata[key] = json.dumps(with_other_values(json.loads(metadata[key]), rng))
    elif what < 0.8:
        other = rng.choice(list(metadata))
        if rng.random() < 0.5:
            del metadata[other]
        else:
            metadata[other] = rng.choice(["", "0", "-1", "x", "null", "[]", "[1]", "{}", "[" * 5000])
    else:
        name = rng.choice(list(arrays))
        array = arrays.pop(name)
        arrays |= rng.choice(
            [
                {},
                {name: array.astype(np.float64)},
                {name: array[:-1]},
                {name: array[None]},
                {name: array.astype(np.int64) - 5 if array.dtype.kind in "iu" else array * np.nan},
            ]
        )
    file = io.BytesIO()
    write_tensors(file, arrays, metadata)
    content = file.getvalue()
    return content if checksums else without_checksums(content, "1" if "format" in metadata else None)


def without_checksums(content: bytes, version: str | None = "1") -> bytes:
    """As version 1 wrote it, whose checkpoints named no version."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    texts = header["__metadata__"]
    header["__metadata__"] = {name: text for name, text in texts.items() if not name.startswith(CHECKSUM)}
    header["__metadata__"].pop("version", None)
    if version is not None:
        header["__metadata__"]["version"] = version
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]
