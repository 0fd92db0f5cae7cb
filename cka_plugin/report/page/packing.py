"""What lies in the page: plain data and arrays as one compressed text, unpacked by the browser when it is asked for.

A packed text is gzip in base64 of: the length of the header (uint32), the header (JSON in UTF-8, filled up to a
multiple of 8 with spaces), and the arrays, each at a multiple of 8. In the header an array stands as
`{"$": start, "shape": [rows, columns], "type": "i2" or "f4"}`.

Similarities are stored as whole numbers of 1/10,000, so that three decimals are right; arrays with larger values
than these hold, which unbiased CKA of few examples may have, as float32. Of whole numbers all low bytes stand before
all high ones, which are much alike: that makes a file smaller.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from cka_plugin.tables import json_safe
from cka_plugin.wording import for_terminal

STEP = 1e-4
MISSING = -32768  # of "i2": there is no value
_LARGEST = 32767 * STEP
_ALIGNED = 8


def packed(value: Any) -> str:
    """Plain data (mappings, lists, dataclasses, arrays, numbers, text) as one compressed text.

    Texts are made visible as for a terminal: names of layers, classes and examples may hold anything.

    Example:
        >>> unpacked(packed({"name": "a", "cka": np.array([[1.0, np.nan]])}))
        {'name': 'a', 'cka': [[1.0, None]]}
    """
    arrays: list[bytes] = []
    header = json.dumps(_plain(value, arrays), allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 4) % _ALIGNED)
    content = struct.pack("<I", len(header)) + header + b"".join(arrays)
    return base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")


def unpacked(text: str) -> Any:
    """What `packed` was given, arrays as nested lists: what the browser does, for those who check a page."""
    content = gzip.decompress(base64.b64decode(text))
    (length,) = struct.unpack_from("<I", content)
    body = content[4 + length :]

    def restore(value: Any) -> Any:
        if isinstance(value, dict) and "$" in value:
            count = int(np.prod(value["shape"]))
            if value["type"] == "f4":
                array = np.frombuffer(body, "<f4", count, value["$"]).astype(np.float64)
            else:
                halves = np.frombuffer(body, np.uint8, 2 * count, value["$"]).reshape(2, count)
                array = np.ascontiguousarray(halves.T).view("<i2").ravel().astype(np.float64)
                array = np.where(array == MISSING, np.nan, np.round(array * STEP, 4))
            return json_safe(array.reshape(value["shape"]))
        if isinstance(value, dict):
            return {key: restore(item) for key, item in value.items()}
        return [restore(item) for item in value] if isinstance(value, list) else value

    return restore(json.loads(content[4 : 4 + length]))


def _plain(value: Any, arrays: list[bytes]) -> Any:
    """The same as JSON can hold it, its arrays moved behind."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        start = sum(map(len, arrays))
        kind, content = _encoded(value)
        arrays.append(content + b"\0" * (-len(content) % _ALIGNED))
        return {"$": start, "shape": list(value.shape), "type": kind}
    if isinstance(value, str):
        return for_terminal(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name), arrays) for each in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, arrays) for item in value]
    return json_safe(value)


def _encoded(array: np.ndarray[Any, Any]) -> tuple[str, bytes]:
    finite = np.isfinite(array)
    if (np.abs(array[finite]) > _LARGEST).any():
        return "f4", np.where(finite, array, np.nan).astype("<f4").tobytes()
    whole = np.full(array.shape, MISSING, dtype="<i2")
    whole[finite] = _rounded(array[finite])
    return "i2", whole.view(np.uint8).reshape(-1, 2).T.tobytes()


def _rounded(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Whole steps that, rounded once more to three decimals, give what the values themselves would."""
    size = np.abs(values) / STEP
    steps = np.round(size)
    halfway = steps % 10 == 5
    steps[halfway] += np.where(size[halfway] < steps[halfway], -1, 1)
    return np.copysign(steps, values)
