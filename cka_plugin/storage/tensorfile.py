"""`.safetensors` files, written and read an array at a time, with a checksum of every array and of the header.

The library's own functions copy each array when it is read, and in older versions all of them when they are written.
The format: eight bytes with the length of the header, the header as JSON, the arrays one after the other
(https://github.com/huggingface/safetensors). The checksums lie in the header's metadata, where other readers pass over
them: `checksums` has that of each array, of its name, type and shape too, so that one array does not pass for another;
`checksum` is that of all else in the header. CRC-32 sees every error of up to 32 bits in a row, and of others all but
one in four billion; at 1 GB/s it takes a tenth of the time that writing takes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cka_plugin.storage.vectors import map_file, release

MAPPED_FROM = 64 * 2**20  # smaller files are read whole: a mapped one cannot be replaced on Windows
CHECKSUM, CHECKSUMS = "checksum", "checksums"
_NAMES = {"f2": "F16", "f4": "F32", "f8": "F64", "b1": "BOOL"}
_NAMES |= {f"{kind}{width}": f"{kind.upper()}{8 * width}" for kind in "iu" for width in (1, 2, 4, 8)}
_TYPES = {name: np.dtype(f"<{code}") for code, name in _NAMES.items()}

Array = npt.NDArray[Any]

# What comes of taking something apart that is not made as it was expected to be.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Damaged(ValueError):
    """A file does not hold what was written to it; the message begins with its path."""


@dataclass(frozen=True)
class Unread:
    """An array of a large file, which is read and checked where it is used first.

    Attributes:
        array: as it lies in the file.
        name: in the file.
        checksum: what it must have; None in files without checksums.
        path: of the file.
    """

    array: Array = field(repr=False)
    name: str
    checksum: str | None
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array."""
        return self.array.dtype

    def read(self) -> Array:
        """The array.

        Raises:
            Damaged: it is not what was written.
        """
        if self.checksum is not None and _checksum(self.name, self.array) != self.checksum:
            raise Damaged(f"{self.path} is damaged: {self.name} is not what was written there (its checksum differs)")
        return self.array


def at_hand(array: Array | Unread) -> Array:
    """The array itself, read and checked where that was still to be done."""
    return array.read() if isinstance(array, Unread) else array


def array_of(
    arrays: Mapping[str, Array | Unread], name: str, shape: tuple[int | None, ...], kind: str | tuple[str, ...]
) -> Array | Unread:
    """An array by its name, once it is seen to have a shape (None: any length) and a kind of number (`i8`, `f4`, ...).

    Raises:
        ValueError: it is missing, or another.
    """
    if name not in arrays:
        raise ValueError(f"{name} is missing")
    array = arrays[name]
    alike = len(array.shape) == len(shape)
    alike = alike and all(wanted in (None, held) for wanted, held in zip(shape, array.shape, strict=True))
    if not alike or not array.dtype.str[1:].startswith(kind):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} is {array.dtype} of shape {tuple(array.shape)}, expected {kind} of shape ({wanted})")
    return array


@dataclass(frozen=True)
class TensorFile:
    """What a `.safetensors` file holds.

    Attributes:
        path: of the file.
        metadata: texts from its header.
        arrays: those of a small file, checked; those of a large one as `Unread`. All are read-only where mapped.
    """

    path: Path
    metadata: dict[str, str]
    arrays: dict[str, Array | Unread]


def write_tensors(file: IO[bytes], tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays in the safetensors layout, one after the other, with their checksums.

    Args:
        file: open for writing, at its start.
        tensors: any arrays; mapped ones are let go of as soon as they are written.
        metadata: texts for the header.

    Raises:
        TypeError: an array of a type that the format does not have.
        OSError: the disk is full.
    """
    # The wider types first, so that every array starts at a multiple of its own width.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    entries = _entries(ordered)
    checksums = dict.fromkeys(tensors, "0" * 8)
    file.write(_header(entries, metadata, checksums))
    for name, array in ordered:
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        checksums[name] = _checksum(name, plain.reshape(array.shape))
        if array.nbytes:
            file.write(plain.reshape(-1).view(np.uint8).data)
        release(array)
    file.seek(0)
    file.write(_header(entries, metadata, checksums))  # as long as before
    file.seek(0, 2)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts in the header of a `.safetensors` file, nothing checked.

    Raises:
        ValueError: the file is truncated or of another format.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or not a .safetensors file: {error}") from error


def read_tensors(path: Path, mapped_from: int | None = None, checksums: bool = False) -> TensorFile:
    """Read a file; the arrays of a large one are read, and checked, when they are used.

    Args:
        path: a `.safetensors` file, of whatever origin.
        mapped_from: bytes from which on a file is large.
        checksums: it must have checksums; else they are checked where there are any.

    Raises:
        ValueError: the file is truncated or of another format.
        Damaged: it is not what was written.
        OSError: it cannot be read.
    """
    metadata = read_metadata(path)  # by the library, which sees to it that the header fits the file
    limit = MAPPED_FROM if mapped_from is None else mapped_from
    mapped = path.stat().st_size >= limit
    content = map_file(path) if mapped else np.fromfile(path, dtype=np.uint8)
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    entries = {name: entry for name, entry in json.loads(content[8:start].tobytes()).items() if name != "__metadata__"}
    table = _checked_header(path, entries, metadata, checksums)
    arrays: dict[str, Array | Unread] = {}
    for name, entry in entries.items():
        if entry["dtype"] not in _TYPES:
            raise Damaged(f"{path} is damaged: {name} is of type {entry['dtype']}, which this package never writes")
        first, stop = entry["data_offsets"]
        array = content[start + first : start + stop].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
        unread = Unread(array, name, table.get(name), path)
        arrays[name] = unread if mapped else unread.read()
    return TensorFile(path, metadata, arrays)


def _entries(ordered: list[tuple[str, Array]]) -> dict[str, dict[str, Any]]:
    """What the header says of each array."""
    entries, offset = {}, 0
    for name, array in ordered:
        code = array.dtype.str[1:]
        if code not in _NAMES:
            raise TypeError(f"{name} is an array of {array.dtype}: expected one of {', '.join(_NAMES)}")
        stop = offset + array.nbytes
        entries[name] = {"dtype": _NAMES[code], "shape": list(array.shape), "data_offsets": [offset, stop]}
        offset = stop
    return entries


def _header(entries: Mapping[str, Any], metadata: Mapping[str, str], checksums: Mapping[str, str]) -> bytes:
    """The first bytes of a file; checksums are texts of one length, and so the header has the same with any."""
    texts = {**metadata, CHECKSUMS: json.dumps(checksums)}
    texts[CHECKSUM] = _header_checksum(entries, texts)
    text = json.dumps({"__metadata__": texts, **entries}).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _checked_header(
    path: Path, entries: Mapping[str, Any], metadata: Mapping[str, str], required: bool
) -> dict[str, str]:
    """The checksum of each array, once the header is seen to be what was written; empty in a file without them."""
    if CHECKSUM not in metadata:
        if required:
            raise Damaged(f"{path} is damaged: it has lost its checksums")
        return {}
    if metadata[CHECKSUM] != _header_checksum(entries, metadata):
        raise Damaged(f"{path} is damaged: its header is not what was written there (its checksum differs)")
    table = json.loads(metadata.get(CHECKSUMS, "null"))
    if not isinstance(table, dict) or table.keys() != entries.keys():
        raise Damaged(f"{path} is damaged: it lacks the checksums of some of its arrays")
    return table


def _header_checksum(entries: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Of what the header says, not of how it is spelt, nor of where the arrays lie: those have their own."""
    texts = {name: text for name, text in metadata.items() if name != CHECKSUM}
    arrays = {name: (entry["dtype"], entry["shape"]) for name, entry in entries.items()}
    return f"{zlib.crc32(json.dumps([texts, arrays], sort_keys=True).encode('ascii')):08x}"


def _checksum(name: str, array: Array) -> str:
    """Of an array in little-endian order, and of what it is called and how it is read."""
    start = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode())
    content = array.reshape(-1).view(np.uint8).data if array.nbytes else b""
    return f"{zlib.crc32(content, start):08x}"
