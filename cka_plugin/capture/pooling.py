"""From what a module returned to one row of features per example."""

from __future__ import annotations

import torch
from torch import Tensor

from cka_plugin.core import as_rows


def pool(x: Tensor, pooling: str, mask: Tensor | None) -> Tensor:
    """Activations (n, ...) to features (n, d).

    Args:
        x: (n, d), (n, length, d) token sequences, or (n, channels, height, width) maps (channels last where the two
            axes
            after the first are the equal ones).
        pooling: `auto` averages sequences that have a mask over it and flattens everything else; `flatten`; `mean` and
            `max` over positions; `cls` the first and `last` the last position that the mask does not exclude.
        mask: (n, length), nonzero where a position counts; None where all do.

    Raises:
        ValueError: `cls` or `last` of something that is not a sequence.

    Example:
        >>> x = torch.tensor([[[1.0], [3.0]], [[5.0], [100.0]]])
        >>> pool(x, "auto", torch.tensor([[1, 1], [1, 0]])).tolist()
        [[2.0], [5.0]]
    """
    if x.ndim <= 2 or pooling == "flatten":
        return as_rows(x)
    masked = mask is not None and x.ndim == 3 and tuple(mask.shape) == tuple(x.shape[:2])
    if pooling == "auto":
        if not masked:
            return as_rows(x)
        pooling = "mean"
    if pooling in ("cls", "last"):
        if x.ndim != 3:
            raise ValueError(f"pooling {pooling!r} needs token sequences (n, length, d); given shape {tuple(x.shape)}")
        counts = (
            mask != 0 if masked and mask is not None else torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        )
        steps = torch.arange(x.shape[1], device=x.device)
        if pooling == "cls":
            index = torch.where(counts, steps, x.shape[1] - 1).amin(1)
        else:
            index = torch.where(counts, steps, 0).amax(1)
        return x[torch.arange(len(x), device=x.device), index]
    if masked and mask is not None:
        counts = (mask != 0).unsqueeze(-1)
        if pooling == "max":
            return x.masked_fill(~counts, float("-inf")).amax(1)
        # Positions without content may hold anything, NaN too: put zeros there before the sum.
        total = x.masked_fill(~counts, 0).sum(1, dtype=_summing_dtype(x))
        return total / counts.sum(1).clamp(min=1)
    channels_last = x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]
    axes = (1,) if x.ndim == 3 else tuple(range(1, x.ndim - 1)) if channels_last else tuple(range(2, x.ndim))
    return x.amax(axes) if pooling == "max" else x.mean(axes, dtype=_summing_dtype(x))


def _summing_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
