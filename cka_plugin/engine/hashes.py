"""A hash of what must be the same: plain data and arrays."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def hash_of(*parts: Any) -> str:
    """A hash of plain data and arrays, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()
