"""Products of centred features, (X - mean)(X - mean)ᵀ: the one place where every feature of every layer is multiplied.

There is never a centred copy of all of X: slices of the features are centred into a buffer that stays in cache. On a
CPU every thread centres and multiplies slices of its own, since what one core has just written another reads slowly. On
other devices a slice is cut into as many parts, multiplied side by side, as fill the device: one product of (n, d) with
(d, n) would leave most of a GPU idle where n is small.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_SLICE_BYTES = 1 << 20  # a centred slice of one thread: what a core's own cache holds
# On other devices, of all parts: what is read twice should still lie in the cache (40 to 50 MiB on a large GPU), and
# launches be few. Reasoned, not measured: `python -m tests.gpu` has a table of other sizes and numbers of parts.
_SLICE_BYTES_ELSEWHERE = 1 << 24
_TILES_ELSEWHERE = 128  # parts times tiles of 64 x 64 of the result: as many as a large GPU works on at once
_TILE = 64
_LEAST_FEATURES = 64  # of a slice, for a thread to be worth it
_BLOCKS_FROM = 128  # examples: from here the upper triangle alone is made, in rows of blocks
_BLOCK = 64  # their height


def centred_products(x: Tensor, factor: Tensor | None = None) -> Tensor:
    """Σ over the features of (x_i - mean)(x_j - mean).

    The mean need not be exact to the last digit: what is left of it is a row-plus-column offset, and U-centring removes
    that.

    Args:
        x: (n, d); half precision is multiplied in float32, float64 in float64.
        factor: a power of two to scale by, and so the careful way: the first example is subtracted before scaling, so
            that a constant feature gives exact zeros (the mean of n equal numbers is not always that number) and the
            sum in a mean cannot overflow.

    Returns:
        (n, n), symmetric but for rounding, on the device of `x`.

    Example:
        >>> centred_products(torch.tensor([[1.0], [2.0], [3.0]])).tolist()
        [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]
    """
    x = x.detach()
    n, d = x.shape
    dtype = working_dtype(x)
    on_cpu = x.device.type == "cpu"
    lanes, width = _lanes_and_width(x)
    height = _BLOCK if on_cpu and n >= _BLOCKS_FROM else max(n, 1)
    tops = range(0, n, height)
    rows = [torch.zeros(lanes, min(height, n - top), n - top, dtype=dtype, device=x.device) for top in tops]
    averaging = torch.full((1, n), 1 / max(n, 1), dtype=dtype, device=x.device)
    buffer = torch.empty(lanes * n * min(width, d), dtype=dtype, device=x.device)
    with full_float32_products(x.device):
        for start, across, each in _slices(d, lanes, width):
            part = x[:, start : start + across * each]
            if factor is None:
                part = part.to(dtype)
            else:
                part = ((part.double() - part[:1].double()) * factor).to(dtype)
            mean = (averaging @ part).view(across, 1, each)  # by a product: faster than a mean over the rows
            centred = buffer[: across * n * each].view(across, n, each)
            torch.sub(part.unflatten(1, (across, each)).transpose(0, 1), mean, out=centred)
            for top, sums in zip(tops, rows, strict=True):
                if across == 1:
                    sums[0].addmm_(centred[0, top : top + height], centred[0, top:].T)
                else:
                    sums[:across].baddbmm_(centred[:, top : top + height], centred[:, top:].transpose(1, 2))
    return _whole([sums[0] if lanes == 1 else sums.sum(0) for sums in rows], height)


def working_dtype(x: Tensor) -> torch.dtype:
    """The precision that products of `x` are made in."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def largest_deviation(x: Tensor) -> Tensor:
    """Largest absolute difference of a feature from its value in the first example, a float64 tensor without axes."""
    largest = torch.zeros((), dtype=torch.float64, device=x.device)
    for part in x.split(_slice_width(x), dim=1):
        part = part.double()
        largest = torch.maximum(largest, (part - part[:1]).abs().amax())
    return largest


def _slice_width(x: Tensor) -> int:
    size = _SLICE_BYTES if x.device.type == "cpu" else _SLICE_BYTES_ELSEWHERE
    return max(size // (max(len(x), 1) * working_dtype(x).itemsize), 4 * _LEAST_FEATURES)


def _lanes_and_width(x: Tensor) -> tuple[int, int]:
    """How many slices are worked on side by side, and the features of each at most."""
    n, d = x.shape
    if x.device.type == "cpu":
        return max(1, min(torch.get_num_threads(), d // _LEAST_FEATURES)), _slice_width(x)
    lanes = max(1, min(_parts(n), d // _LEAST_FEATURES))
    return lanes, max(_slice_width(x) // lanes, _LEAST_FEATURES)


def _parts(n: int) -> int:
    """How many parts of a slice fill a device that is no CPU.

    Example:
        >>> _parts(64), _parts(256), _parts(1000)
        (128, 8, 1)
    """
    return int(max(1, _TILES_ELSEWHERE // max(-(-n // _TILE), 1) ** 2))


def _slices(d: int, lanes: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(first feature, slices side by side, features of each) until all d features are covered.

    Example:
        >>> list(_slices(1000, 2, 256))
        [(0, 2, 256), (512, 2, 244)]
    """
    start = 0
    while start < d:
        across = max(1, min(lanes, (d - start) // _LEAST_FEATURES))
        each = min(width, (d - start) // across)
        yield start, across, each
        start += across * each


def _whole(rows: list[Tensor], height: int) -> Tensor:
    """A symmetric matrix from the rows of blocks on and above its diagonal."""
    if len(rows) == 1:
        return rows[0]
    n = rows[0].shape[1]
    whole = rows[0].new_empty(n, n)
    for top, block in zip(range(0, n, height), rows, strict=True):
        whole[top : top + height, top:] = block
        whole[top + height :, top : top + height] = block[:, height:].T
    return whole


def full_float32_products(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Within it, float32 products on `device` are made in full precision, whatever the user allows elsewhere.

    On CUDA that is TF32, on a CPU bfloat16 (`torch.set_float32_matmul_precision("medium")`, on processors with AMX).
    Afterwards all is as it was.
    """
    setting: Any = getattr(torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn, "matmul", None)
    if hasattr(setting, "fp32_precision"):  # torch 2.9; once it has been set, reading `allow_tf32` is an error
        return _kept_at(setting, "fp32_precision", "ieee") if setting.fp32_precision in _ROUNDED else _AS_IT_IS
    return _kept_at(setting, "allow_tf32", False) if getattr(setting, "allow_tf32", False) else _AS_IT_IS


_ROUNDED = ("tf32", "bf16")
_AS_IT_IS = contextlib.nullcontext()


@contextlib.contextmanager
def _kept_at(setting: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(setting, name)
    setattr(setting, name, value)
    try:
        yield
    finally:
        setattr(setting, name, before)
