"""Data that are sorted by class, whose CKA is of little meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.data import Batch
from cka_plugin.warnings import warn

SORTED_SHARE = 0.7  # of the classes that chance would give: a loader whose minibatches hold fewer is warned about


class ClassesSeen:
    """Notices minibatches that hold far fewer classes than the data."""

    def __init__(self) -> None:
        self.labels: list[npt.NDArray[Any]] = []

    def add(self, batch: Batch) -> None:
        """Take the classes of one minibatch."""
        if batch.labels is not None:
            self.labels.append(batch.labels)

    def warn(self) -> None:
        """Say so where the minibatches hold too few."""
        if len(self.labels) < 2:
            return
        _, counts = np.unique(np.concatenate(self.labels), return_counts=True)
        share = counts / counts.sum()
        expected = [float((1 - (1 - share) ** len(labels)).sum()) for labels in self.labels]
        found = [len(np.unique(labels)) for labels in self.labels]
        if sum(found) < SORTED_SHARE * sum(expected):
            warn(
                f"the loader's minibatches hold {np.mean(found):.1f} classes on average where shuffled ones would hold "
                f"{np.mean(expected):.1f}: the data seem to be sorted by class, and CKA within few classes is another "
                "number, often far too small; give shuffle=True, or the data set itself"
            )
