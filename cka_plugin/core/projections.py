"""Packed Gram vectors kept as random projections: as many signed sums of their entries as asked for, whatever n.

The entries of a vector are put in random groups of equal size, given random signs, and each group is added up. Inner
products of two vectors that were projected alike are right on average (Charikar, Chen & Farach-Colton 2002; Weinberger
et al. 2009), and every minibatch has groups and signs of its own, so that errors average out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.core.packing import pairs_of

KIND = "signed sums"
LEAST_SIZE = 16
_CHUNK_BYTES = 8 << 20  # entries brought into their order at a time


@dataclass(frozen=True)
class Projection:
    """Which random projection the Gram vectors of a run are kept as; alike only for the same kind, size and seed.

    Attributes:
        size: numbers kept of a minibatch; of minibatches with no more pairs all are.
        seed: of groups and signs, beside the number of the minibatch.
        kind: of projection.

    Example:
        >>> projection = Projection(size=64)
        >>> x = torch.randn(3, pairs_of(40))
        >>> projection.of(x, minibatch=5).shape, projection.of(x[:, :pairs_of(8)], minibatch=6).shape
        (torch.Size([3, 64]), torch.Size([3, 28]))
    """

    size: int
    seed: int = 0
    kind: str = KIND

    @staticmethod
    def recorded(record: Any) -> Projection | None:
        """From what `record` gave, or None."""
        return None if record is None else Projection(**record)

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def of(self, vectors: Tensor, minibatch: int) -> Tensor:
        """Project the vectors of one minibatch: (layers, pairs) to (layers, `kept(pairs)`).

        Args:
            vectors: packed Gram vectors.
            minibatch: the number of the minibatch in the whole run.
        """
        pairs = vectors.shape[-1]
        if self.kept(pairs) == pairs:
            return vectors
        places, signs = _drawn(self, pairs, minibatch, vectors.device)
        made = [
            (part.index_select(1, places) * signs.to(part.dtype)).view(len(part), self.size, -1).sum(-1)
            for part in vectors.split(max(1, _CHUNK_BYTES // (len(places) * vectors.dtype.itemsize)))
        ]
        return torch.cat(made)

    def kept(self, pairs: int) -> int:
        """How many numbers are kept of so many pairs."""
        return min(pairs, self.size)

    def meeting(self, pairs: int) -> float:
        """How probable it is that two given entries of a vector fall into one group; 0 where all are kept.

        Example:
            >>> Projection(size=100).meeting(100), round(Projection(size=100).meeting(10_000) * 100, 2)
            (0.0, 0.99)
        """
        if self.kept(pairs) == pairs:
            return 0.0
        group = _group(pairs, self.size)
        return (group - 1) / (group * self.size - 1)


def values_kept(n: int, projection: Projection | None) -> int:
    """The length of what is kept of a minibatch of n examples, a layer.

    Example:
        >>> values_kept(256, None), values_kept(256, Projection(1024))
        (32640, 1024)
    """
    return pairs_of(n) if projection is None else projection.kept(pairs_of(n))


def _group(pairs: int, size: int) -> int:
    return -(-pairs // size)


@lru_cache(maxsize=4)  # the models of a run follow one another on each minibatch
def _drawn(projection: Projection, pairs: int, minibatch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which entry lies in which place of the groups, and its sign: 0 where a group has a place too many.

    NumPy promises that the numbers of `RandomState` stay what they are, whatever the version and the machine: a file
    that was written elsewhere, or years ago, was projected alike.
    """
    random = np.random.RandomState([projection.seed, minibatch])
    places = random.permutation(projection.size * _group(pairs, projection.size))
    signs = np.where(places < pairs, random.randint(0, 2, len(places)) * 2.0 - 1.0, 0.0).astype(np.float32)
    drawn = torch.from_numpy(np.where(places < pairs, places, 0)), torch.from_numpy(signs)
    moved = device.type != "cpu"
    return drawn[0].to(device, non_blocking=moved), drawn[1].to(device, non_blocking=moved)
