"""From what a module returned to one row of features per example."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cka_plugin.core import as_rows

OVER_PLACES = ("mean", "max", "cls", "last", "mean_after_first")
OF_SEQUENCES = ("cls", "last", "mean_after_first")


class UnknownPlaces(ValueError):
    """Which axes of an activation are places is not known."""


def pool(x: Tensor, pooling: str, mask: Tensor | None, channels: Sequence[int] | None = None) -> Tensor:
    """Activations (n, ...) to features (n, d).

    Args:
        x: (n, d), or with places: (n, length, d) token sequences, (n, channels, height, width) maps, ...
        pooling: `auto` averages sequences that have a mask over it and flattens everything else; `flatten`; `mean` and
            `max` over places; `cls` the first and `last` the last place that the mask does not exclude;
            `mean_after_first` the mean without the first, where language models keep what belongs to no word.
        mask: (n, length), nonzero where a place counts; (n, sequences, length) for several sequences an example, (n,
            sequences, length, d); None where all do.
        channels: the axes of `x` that hold channels; all others but the first are places. None where nobody knows.

    Raises:
        UnknownPlaces: a pooling over places where nobody knows which they are.
        ValueError: `cls`, `last` or `mean_after_first` of something that is not a sequence; a sequence of one place, of
            which `mean_after_first` leaves nothing.

    Example:
        >>> x = torch.tensor([[[1.0], [3.0]], [[5.0], [100.0]]])
        >>> pool(x, "auto", torch.tensor([[1, 1], [1, 0]])).tolist()
        [[2.0], [5.0]]
        >>> pool(x, "mean", None, channels=[2]).tolist()
        [[2.0], [52.5]]
    """
    if x.ndim <= 2 or pooling == "flatten":
        return as_rows(x)
    if mask is not None and x.ndim == 4 and mask.shape == x.shape[:3]:
        if pooling == "auto":  # sequence by sequence
            return pool(x.flatten(0, 1), pooling, mask.flatten(0, 1)).reshape(len(x), -1)
        return pool(x.flatten(1, 2), pooling, mask.flatten(1, 2))
    masked = mask is not None and x.ndim == 3 and tuple(mask.shape) == tuple(x.shape[:2])
    if pooling == "auto":
        if not masked:
            return as_rows(x)
        pooling = "mean"
    if not masked:
        return _over_places(x, pooling, channels)
    assert mask is not None
    counts = mask != 0
    if pooling in ("cls", "last"):
        steps = torch.arange(x.shape[1], device=x.device)
        if pooling == "cls":
            index = torch.where(counts, steps, x.shape[1] - 1).amin(1)
        else:
            index = torch.where(counts, steps, 0).amax(1)
        return x[torch.arange(len(x), device=x.device), index]
    counts = counts.unsqueeze(-1)
    if pooling == "max":
        return x.masked_fill(~counts, float("-inf")).amax(1)
    if pooling == "mean_after_first":
        counts = counts & (counts.cumsum(1) > 1)
        _need_a_second(counts.any(1))
    # Places without content may hold anything, NaN too: put zeros there before the sum.
    total = x.masked_fill(~counts, 0).sum(1, dtype=_summing_dtype(x))
    return total / counts.sum(1).clamp(min=1)


def _over_places(x: Tensor, pooling: str, channels: Sequence[int] | None) -> Tensor:
    if channels is None:
        raise UnknownPlaces(
            f"pooling {pooling!r} needs to know which axes of (examples, ...) {tuple(x.shape)} are places, which "
            "channels, and no operation that made it says so; pooling='flatten' need not know"
        )
    places = [axis for axis in range(1, x.ndim) if axis not in channels]
    if not places:
        return as_rows(x)
    if pooling in OF_SEQUENCES:
        if len(places) != 1:
            raise ValueError(
                f"pooling {pooling!r} needs token sequences (n, length, d); given (examples, ...) of shape "
                f"{tuple(x.shape)}"
            )
        if pooling == "mean_after_first":
            _need_a_second(torch.tensor([x.shape[places[0]] > 1]))
            return as_rows(x.narrow(places[0], 1, x.shape[places[0]] - 1).mean(places, dtype=_summing_dtype(x)))
        return as_rows(x.select(places[0], 0 if pooling == "cls" else -1))
    return as_rows(x.amax(places) if pooling == "max" else x.mean(places, dtype=_summing_dtype(x)))


def _need_a_second(there: Tensor) -> None:
    """Raise unless every example has a place after its first."""
    if not bool(there.all()):
        raise ValueError(
            "pooling 'mean_after_first' leaves nothing of an example of one token: leave such examples out, or take "
            "pooling='mean'"
        )


def _summing_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
