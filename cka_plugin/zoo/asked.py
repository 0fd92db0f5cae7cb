"""What was asked for a model, as plain data for the manifest: its options, and which data it ran over.

Two calls that ask the same must give the same here, in another process and next year; where that cannot be known, they
differ, and the model is run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.data import ReadOptions, Source
from cka_plugin.engine.hashes import hash_of
from cka_plugin.options import Options

# Where and how fast a model runs; what it is compared with later.
_NO_MATTER = ("device", "max_memory", "checkpoint_dir", "progress", "shard", "match", "workers")


def options_asked(options: Options) -> dict[str, Any]:
    """The options that a representation depends on, as JSON holds them.

    Args:
        options: of one model.

    Example:
        >>> asked = options_asked(Options(batch_size=32, transforms=len))
        >>> asked["batch_size"], asked["transforms"]
        (32, '<built-in function len>')
    """
    held = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in _NO_MATTER}
    asked = {name: _plain(value) for name, value in held.items()}
    return asked | {name: _with_file(held[name]) for name in ("checkpoint", "labels") if isinstance(held[name], str)}


def model_asked(model: Any) -> str:
    """What was given as a model, in words."""
    return os.fspath(model) if isinstance(model, str | os.PathLike) else str(_plain(model))[:200]


def data_asked(data: Any, source: Source, read: ReadOptions, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Which data these are: their size, and a hash of the content of their examples and labels.

    Args:
        data: as the user gave them.
        source: the same, opened.
        read: how they are read.
        before: what this gave at an earlier time: files that have the same sizes and times are not read again.
    """
    examples, _ = source.count(read)
    known = {"data": data if isinstance(data, str) else source.what, "examples": examples}
    if isinstance(data, str | os.PathLike) and Path(data).is_dir():
        files = [(path.relative_to(data).as_posix(), path) for path in sorted(_files(Path(data)))]
        times = hash_of([(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files])
        if before is not None and before.get("times") == times:
            return dict(before)
        return known | {"times": times, "content": hash_of([(name, _file_hash(path)) for name, path in files])}
    return known | {"content": _content(source, read)}


def _content(source: Source, read: ReadOptions) -> str:
    """A hash of the examples in the order of reading, and of their labels."""
    digest = hashlib.blake2b(digest_size=16)
    with contextlib.closing(source.batches(read)) as batches:  # type: ignore[type-var]
        for batch in batches:
            labels = None if batch.labels is None else np.asarray(batch.labels).tolist()
            digest.update(hash_of([str(example) for example in batch.ids], batch.fingerprints, labels).encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _with_file(path: str) -> list[str]:
    """A path, with what the file holds."""
    return [path, _file_hash(Path(path))] if Path(path).is_file() else [path]


def _plain(value: Any) -> Any:
    """A value as JSON holds it; of functions where they are defined and what their code is."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
        return f"array of {array.dtype}, shape {array.shape}, {hash_of(np.ascontiguousarray(array))}"
    if isinstance(value, list | tuple | set | frozenset | range):
        each = [_plain(one) for one in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
        return each if len(each) <= 100 else f"{len(each)} values, {hash_of(each)}"
    code = getattr(value, "__code__", None)
    if code is not None:
        told = hash_of([code.co_code.hex(), _bare(code.co_consts), code.co_names])
        return f"{value.__module__}.{value.__qualname__}, {told}"
    return _bare(value)


def _bare(value: Any) -> str:
    """How a thing writes itself, without its place in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
