"""The part of `torchmetrics.Metric` that a metric of sums needs, for where torchmetrics is not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn


class Metric(nn.Module):
    """A metric whose states are sums: `update`, `compute`, `reset`, `merge_state`; processes add up in `compute`.

    Example:
        >>> import torch
        >>> class Total(Metric):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        ...     def update(self, x):
        ...         self.total += x.sum()
        ...     def compute(self):
        ...         return self.total
        >>> metric = Total()
        >>> metric(torch.ones(3)).item(), metric(torch.ones(2)).item(), metric.compute().item()
        (3.0, 2.0, 5.0)
    """

    update: Callable[..., None]
    compute: Callable[[], Tensor]

    def __init__(self) -> None:
        super().__init__()
        self._states: list[str] = []
        self._alone = self.compute  # an attribute of the instance hides the method: callers get the sum over processes
        self.compute = self._over_processes  # type: ignore[method-assign]

    def add_state(self, name: str, default: Tensor, dist_reduce_fx: str) -> None:
        """A sum, zero at first, that moves with the module and is in no `state_dict`."""
        if dist_reduce_fx != "sum":
            raise ValueError(f"dist_reduce_fx {dist_reduce_fx!r}: without torchmetrics states are sums")
        self.register_buffer(name, default, persistent=False)
        self._states.append(name)

    def forward(self, *minibatch: Any) -> Tensor:
        """Add a minibatch, and say what the metric is on it alone, in this process."""
        before = self._take()
        self.update(*minibatch)
        value = self._alone()
        self._add(before)
        return value

    def reset(self) -> None:
        """Start again."""
        self._take()

    def merge_state(self, other: Metric) -> None:
        """Add what another metric of the same kind has seen."""
        self._add([getattr(other, name) for name in self._states])

    def _take(self) -> list[Tensor]:
        taken = [getattr(self, name) for name in self._states]
        for name, value in zip(self._states, taken, strict=True):
            setattr(self, name, value.new_zeros(value.shape))
        return taken

    def _add(self, values: list[Tensor]) -> None:
        for name, value in zip(self._states, values, strict=True):
            own = getattr(self, name)
            setattr(self, name, own + value.to(own.device))

    def _over_processes(self) -> Tensor:
        if not (dist.is_available() and dist.is_initialized()):
            return self._alone()
        own = [getattr(self, name) for name in self._states]
        try:
            for name, value in zip(self._states, own, strict=True):
                total = value.clone()
                dist.all_reduce(total)
                setattr(self, name, total)
            return self._alone()
        finally:
            for name, value in zip(self._states, own, strict=True):
                setattr(self, name, value)
