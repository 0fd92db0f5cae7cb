"""Whether the labels of examples are the classes of a model's head, and which: by name where both have names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def telling_names(names: Sequence[str] | None) -> list[str] | None:
    """Names of classes; None where they say nothing: `LABEL_0`, `LABEL_1`, ... or `0`, `1`, ....

    Example:
        >>> telling_names(["cat", "dog"]), telling_names(["LABEL_0", "LABEL_1"]), telling_names(["0", "1"])
        (['cat', 'dog'], None, None)
    """
    if names is None or all(name in (f"LABEL_{index}", str(index)) for index, name in enumerate(names)):
        return None
    return list(names)


def labels_as_classes(
    labels: npt.NDArray[Any], label_names: Sequence[str] | None, class_names: Sequence[str] | None, width: int
) -> npt.NDArray[np.int64] | None:
    """The classes of a head that labels mean; None where they are not its classes.

    Where both have names, by name: every label that occurs must be the name of one class. Where the head alone lacks
    them, it must have as many classes as there are names of labels; labels without names are indices of its classes.

    Args:
        labels: (n,) class indices, of `label_names` where there are any.
        label_names: what they mean.
        class_names: of the head, in order.
        width: how many classes the head has.

    Example:
        >>> labels_as_classes(np.array([0, 1]), ["dog", "owl"], ["cat", "dog", "owl"], 3).tolist()
        [1, 2]
        >>> labels_as_classes(np.array([0, 1]), ["wolf", "owl"], ["cat", "dog", "owl"], 3) is None
        True
    """
    if len(labels) == 0 or int(labels.min()) < 0:
        return None
    meant, head = telling_names(label_names), telling_names(class_names)
    if meant is not None and head is not None:
        occurring = sorted(set(np.unique(labels).tolist()))
        if any(index >= len(meant) or head.count(meant[index]) != 1 for index in occurring):
            return None
        table = {index: head.index(meant[index]) for index in occurring}
        return np.array([table[index] for index in labels.tolist()], dtype=np.int64)
    if (meant is not None and len(meant) != width) or int(labels.max()) >= width:
        return None
    return labels.astype(np.int64)
