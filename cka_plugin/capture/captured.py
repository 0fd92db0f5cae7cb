"""What one minibatch of one model leaves behind, as arrays on the host."""

from __future__ import annotations

import functools
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
        vectors: (layers, n(n-1)/2) float32, or sketches of them, (layers, size).
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


class HostCopy:
    """Tensors on their way to the host, as float32 arrays of their shapes: from another device by one copy for all.

    From CUDA the copy goes to page-locked memory on a stream of its own, so that the device works on meanwhile.

    Args:
        tensors: on any devices.

    Attributes:
        under_way: whether what follows may be asked of the device before the arrays are.

    Example:
        >>> [array.shape for array in HostCopy([torch.zeros(2, 3), torch.tensor([1, 2])]).arrays()]
        [(2, 3), (2,)]
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.under_way = False
        self._shapes = [tensor.shape for tensor in tensors]
        device = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), None)
        if device is None:
            self._here = [tensor.float().numpy() for tensor in tensors]
            return
        flat = torch.cat([tensor.to(device, torch.float32, non_blocking=True).flatten() for tensor in tensors])
        if device.type != "cuda":
            self._here = self._apart(flat.cpu().numpy())
            return
        self.under_way = True
        self._flat = flat  # its memory must not be used again before it is copied
        stream = _copying(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            self._locked = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
            self._locked.copy_(flat, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(stream)

    def arrays(self) -> list[npt.NDArray[np.float32]]:
        """The arrays, in the order given; waits for them where they are still under way."""
        if self.under_way:
            self._copied.synchronize()
            self._here = self._apart(self._locked.numpy().copy())  # page-locked memory is dear, and used again
            self.under_way = False
            del self._flat, self._locked
        return self._here

    def _apart(self, flat: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        ends = np.cumsum([shape.numel() for shape in self._shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), self._shapes, strict=True)]


@functools.cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """The stream on which copies go to the host."""
    return torch.cuda.Stream(device)
