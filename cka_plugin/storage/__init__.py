"""Large arrays in memory and in files. It knows nothing of what they mean."""

from cka_plugin.storage.allocator import AMPLE, freed_memory
from cka_plugin.storage.atomic import write_atomically
from cka_plugin.storage.tensorfile import (
    CHECKSUM,
    MALFORMED,
    Damaged,
    TensorFile,
    Unread,
    array_of,
    at_hand,
    read_metadata,
    read_tensors,
    write_tensors,
)
from cka_plugin.storage.vectors import VectorStore, budget_bytes, release

__all__ = [
    "AMPLE",
    "CHECKSUM",
    "MALFORMED",
    "Damaged",
    "TensorFile",
    "Unread",
    "VectorStore",
    "array_of",
    "at_hand",
    "budget_bytes",
    "freed_memory",
    "read_metadata",
    "read_tensors",
    "release",
    "write_atomically",
    "write_tensors",
]
