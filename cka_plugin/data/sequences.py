"""Lists of examples held in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cka_plugin.data.arrays import check_one_kind
from cka_plugin.data.folders import image_files
from cka_plugin.data.indexed import Indexed, held
from cka_plugin.data.items import of_items
from cka_plugin.data.tables import of_records


def of_list(items: list[Any]) -> Indexed:
    """Examples of one kind in a list: tensors, texts, images, paths of images, (x, y) pairs, mappings.

    Raises:
        TypeError: they are of several kinds.
        ValueError: they do not hold the same members, or tensors of different shapes.
    """
    what = "the list"
    if isinstance(items[0], Path):
        return image_files([Path(item) for item in items], [str(item) for item in items], what)
    if isinstance(items[0], tuple) and len(items[0]) == 2 and isinstance(items[0][0], Path):
        paths, labels = zip(*items, strict=True)
        return image_files(list(paths), [str(path) for path in paths], what).with_labels(list(labels))
    if isinstance(items[0], Mapping) and not any(isinstance(v, Tensor | np.ndarray) for v in items[0].values()):
        return of_records(items, what, None)
    content = of_items(items)
    check_one_kind(content, what)
    if isinstance(items[0], Tensor) and isinstance(content.members[0].values, list):
        shapes = sorted({tuple(value.shape) for value in content.members[0].values})[:2]
        raise ValueError(
            f"{what} holds tensors of different shapes, such as {shapes[0]} and {shapes[1]}: expected one shape, or "
            "raw examples"
        )
    return held(content, what)
