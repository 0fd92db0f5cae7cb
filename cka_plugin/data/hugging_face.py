"""Data sets of the library `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from cka_plugin.data.arrays import ready
from cka_plugin.data.batches import Ints
from cka_plugin.data.fingerprints import fingerprint_raw
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.labels import LABEL_KEYS
from cka_plugin.data.tables import AUDIO_KEYS, IMAGE_KEYS, TEXT_KEYS


def of_hugging_face(data: Any) -> Indexed:
    """A `datasets.Dataset`: columns are known by their features (Image, Audio, Value of text, ClassLabel)."""
    what = "the Hugging Face dataset"
    if len(data) == 0:
        raise ValueError(f"{what} holds no examples")
    if not hasattr(data, "__getitem__"):
        raise TypeError(f"{what} is a stream: give a map-style one (streaming=False), or a DataLoader")
    by_kind: dict[str, list[str]] = {"image": [], "text": [], "audio": []}
    label_key, names = None, None
    for column, feature in data.features.items():
        kind = type(feature).__name__
        if kind == "ClassLabel" and label_key is None:
            label_key, names = column, list(feature.names)
        elif kind in ("Image", "Audio"):
            by_kind[kind.lower()].append(column)
        elif kind == "Value" and feature.dtype in ("string", "large_string") and column not in LABEL_KEYS:
            by_kind["text"].append(column)
        elif kind == "Value" and column in LABEL_KEYS and "int" in feature.dtype and label_key is None:
            label_key = column
    for columns in by_kind.values():
        preferred = [c for c in columns if c in TEXT_KEYS + IMAGE_KEYS + AUDIO_KEYS]
        columns[:] = preferred[:1] or columns
    found = {kind: columns for kind, columns in by_kind.items() if columns}
    labels = None if label_key is None else np.asarray(data[label_key], dtype=np.int64)
    if not found:
        tensors = data.remove_columns([label_key] if label_key else []).with_format("torch")[:]
        return ready({key: value for key, value in tensors.items() if isinstance(value, Tensor)}, what, labels, names)
    several = [columns for columns in found.values() if len(columns) > 1]
    if several:
        raise ValueError(
            f"{what} has several columns of one kind ({', '.join(several[0])}): select_columns the one to use"
        )

    def read(positions: Ints, on_error: str) -> Read:
        raw = []
        for position in positions:
            row = data[int(position)]
            parts = [_sound(row[columns[0]]) if kind == "audio" else row[columns[0]] for kind, columns in found.items()]
            raw.append(parts[0] if len(parts) == 1 else tuple(parts))
        return Read(np.array([fingerprint_raw(example) for example in raw], dtype=np.uint64), None, raw=raw)

    return Indexed(range(len(data)), read, tuple(found), labels, names, what, users_code=True)


def _sound(value: Any) -> Any:
    if isinstance(value, Mapping):
        return np.asarray(value["array"], dtype=np.float32)
    if hasattr(value, "get_all_samples"):  # torchcodec's decoder
        return value.get_all_samples().data.mean(0).numpy()
    return value
