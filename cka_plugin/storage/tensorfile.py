"""The layout of `.safetensors` files, written and read an array at a time: neither needs room for the whole file.

The library's own functions copy each array when it is read, and in older versions all of them when they are written.
The format: eight bytes with the length of the header, the header as JSON, the arrays one after the other
(https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cka_plugin.storage.vectors import map_file, release

MAPPED_FROM = 64 * 2**20  # smaller files are read whole: a mapped one cannot be replaced on Windows
_NAMES = {"f2": "F16", "f4": "F32", "f8": "F64", "b1": "BOOL"}
_NAMES |= {f"{kind}{width}": f"{kind.upper()}{8 * width}" for kind in "iu" for width in (1, 2, 4, 8)}
_TYPES = {name: np.dtype(f"<{code}") for code, name in _NAMES.items()}


def write_tensors(file: IO[bytes], tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays in the safetensors layout, one after the other.

    Args:
        file: open for writing.
        tensors: any arrays; mapped ones are let go of as soon as they are written.
        metadata: texts for the header.

    Raises:
        TypeError: an array of a type that the format does not have.
        OSError: the disk is full.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    # The wider types first, so that every array starts at a multiple of its own width.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    offset = 0
    for name, array in ordered:
        code = array.dtype.str[1:]
        if code not in _NAMES:
            raise TypeError(f"{name} is an array of {array.dtype}: expected one of {', '.join(_NAMES)}")
        header[name] = {
            "dtype": _NAMES[code],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, array in ordered:
        if array.nbytes:
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)
        release(array)


def read_tensors(path: Path, mapped_from: int = MAPPED_FROM) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file; those of a large one are read from it when they are used, and are read-only.

    Args:
        path: a file that `safetensors` has found to be whole.
        mapped_from: bytes from which on a file is large.
    """
    content = map_file(path) if path.stat().st_size >= mapped_from else np.fromfile(path, dtype=np.uint8)
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = json.loads(content[8:start].tobytes())
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, stop = entry["data_offsets"]
            part = content[start + first : start + stop]
            arrays[name] = part.view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, bring it to the disk, and put it in the place of `path`.

    The earlier file stays whole until the new one is; a failed or interrupted write leaves nothing behind.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(
            error.errno, f"cannot write {path}: {error.strerror or error}; an earlier file is as it was"
        ) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
