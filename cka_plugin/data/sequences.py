"""Lists of examples held in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.data.arrays import as_examples, raw_examples, ready
from cka_plugin.data.folders import image_files
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.labels import label_numbers
from cka_plugin.data.tables import of_records


def of_sequence(items: list[Any]) -> Indexed:
    what = "the list"
    if not items:
        return Indexed([], lambda positions, on_error: Read(np.zeros(0, dtype=np.uint64), None), (), what=what)
    first = items[0]
    if isinstance(first, Path):
        return image_files([Path(item) for item in items], [str(item) for item in items], what)
    if isinstance(first, Tensor):
        if any(item.shape != first.shape for item in items):
            raise ValueError(f"{what} holds tensors of different shapes: expected one shape, or raw examples")
        return ready(torch.stack(items), what)
    if isinstance(first, np.ndarray) and first.ndim > 1 and first.dtype != np.uint8:
        return as_examples(np.stack(items), what)
    if isinstance(first, int | float) or (isinstance(first, list) and first and isinstance(first[0], int | float)):
        return as_examples(np.asarray(items), what)
    if isinstance(first, tuple) and len(first) == 2 and isinstance(first[1], int):
        labels, names = label_numbers([item[1] for item in items])
        return raw_examples([item[0] for item in items], what, labels, names)
    if isinstance(first, Mapping):
        return of_records(items, what, None)
    return raw_examples(items, what)
