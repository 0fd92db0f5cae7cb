"""What one minibatch of one model leaves behind, as arrays on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class Captured:
    """What one minibatch left behind.

    Attributes:
        vectors: (layers, n(n-1)/2) float32.
        diagonals: (layers, n) float32.
        exponents: (layers,) int64: the Gram matrices are `2**exponent` times what is stored.
        logits: (n, classes) float32, or None.
        features: where they were asked for, one (n, d) float32 array a layer: what its Gram matrix was made of.
        rows: where the rows of the examples lay, by layer, where not one an example on the first axis.
        width: the largest number of features of a layer, as its Gram matrix was made of them.
    """

    vectors: npt.NDArray[np.float32]
    diagonals: npt.NDArray[np.float32]
    exponents: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None
    features: list[npt.NDArray[np.float32]] | None = None
    rows: dict[str, str] = field(default_factory=dict)
    width: int = 0


def to_host(tensors: Sequence[Tensor]) -> list[npt.NDArray[np.float32]]:
    """Tensors as float32 arrays of their shapes: from another device by one copy, since each waits for the device.

    Example:
        >>> [array.shape for array in to_host([torch.zeros(2, 3), torch.tensor([1, 2])])]
        [(2, 3), (2,)]
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.float().numpy() for tensor in tensors]
    device = next(tensor.device for tensor in tensors if tensor.device.type != "cpu")
    flat = torch.cat([tensor.to(device).float().flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])[:-1]
    return [part.reshape(tensor.shape) for part, tensor in zip(np.split(flat, ends), tensors, strict=True)]
