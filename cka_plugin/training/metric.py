"""CKA of two streams of activations as a metric in torchmetrics' manner, which adds up over processes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cka_plugin.core import (
    DEGENERATE,
    KERNELS,
    MIN_EXAMPLES,
    as_rows,
    check_estimator,
    gram,
    recover_centered,
    u_center,
)
from cka_plugin.warnings import warn

if TYPE_CHECKING or find_spec("torchmetrics") is not None:
    from torchmetrics import Metric
else:
    from cka_plugin.training.summed import Metric

SUMS = ("xy", "xx", "yy")


class CKA(Metric):
    """Minibatch CKA of two streams of activations: each `update` is one minibatch, in every process.

    The state is three sums, so processes and parts add up exactly: `sync`, `merge_state` and `forward` work as in any
    metric. The last minibatch is kept beside them, for a few examples that may come after it: a minibatch of fewer than
    4 goes with the next one, and if there is none with the one before. Where torchmetrics is installed this is a
    `torchmetrics.Metric`; without it the same calls add up over the default process group.

    Args:
        kernel: `linear` or `rbf`.
        estimator: `unbiased` or `biased`.
        bandwidth: for `rbf`, σ as a multiple of the median distance.
        options: as for `torchmetrics.Metric`; without torchmetrics there are none.

    Raises:
        ValueError: an unknown kernel or estimator.

    Source: Nguyen, Raghu & Kornblith 2021, eq. 2 and 3.

    Example:
        >>> metric = CKA()
        >>> for _ in range(3):
        ...     x = torch.randn(32, 8)
        ...     metric.update(x, 2 * x.flip(1) + 1)
        >>> round(float(metric.compute()), 6)
        1.0
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    xy: Tensor
    xx: Tensor
    yy: Tensor
    _few: tuple[Tensor, Tensor] | None  # fewer than 4 examples, for the next minibatch
    _last: tuple[Tensor, Tensor] | None  # the minibatch that they join if there is no next
    _of_last: Tensor  # (3,) what these add to the sums

    def __init__(
        self, kernel: str = "linear", estimator: str = "unbiased", bandwidth: float = 0.5, **options: Any
    ) -> None:
        super().__init__(**options)
        if kernel not in KERNELS:
            raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")
        check_estimator(estimator)
        self.kernel, self.estimator, self.bandwidth = kernel, estimator, bandwidth
        for name in SUMS:
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self._forget()

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add one minibatch, of any number of examples.

        Args:
            x: (n, ...) activations; further axes are flattened.
            y: (n, ...) of the same examples.

        Raises:
            ValueError: unequal numbers of examples, or none.
        """
        if len(x) != len(y) or not len(x):
            raise ValueError(f"a minibatch of {len(x)} and {len(y)} examples: expected the same examples, at least one")
        given = _joined(self._few, (x.detach(), y.detach()))
        if len(given[0]) < MIN_EXAMPLES:
            self._few = given
            if self._last is not None:  # until more come, they are of the last minibatch
                self._replace(self._products(*_joined(self._last, given)))
            return
        if self._few is not None and self._last is not None:
            self._replace(self._products(*self._last))
        self._few, self._last = None, (given[0].clone(), given[1].clone())  # what comes later may change them in place
        self._of_last = torch.zeros(len(SUMS), dtype=torch.float64)
        self._replace(self._products(*given))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Add one minibatch, and say what the CKA is on it alone; NaN for one of fewer than 4 examples."""
        self.update(x, y)
        alone = type(self)(self.kernel, self.estimator, self.bandwidth)
        if len(x) >= MIN_EXAMPLES:
            alone._last = (x, y)
            alone._replace(self._products(x.detach(), y.detach()))
        value = alone.compute() if getattr(self, "dist_sync_on_step", False) else alone._value()
        self._forward_cache = value  # where torchmetrics and Lightning look for it
        return value

    def reset(self) -> None:
        """Start again."""
        super().reset()
        self._forget()

    def merge_state(self, other: Any) -> None:
        """Add what another metric of the same kind has seen."""
        super().merge_state(other)
        if not isinstance(other, CKA):  # sums alone
            return
        few = other._few if other._last is None else None
        if self._last is None and other._last is not None:
            few, self._few = self._few, other._few
            self._last, self._of_last = other._last, other._of_last
        if few is not None:
            self.update(*few)

    def compute(self) -> Tensor:
        """The CKA of all minibatches so far, a float64 scalar; NaN where a stream is constant or not finite."""
        if self._last is None and self._few is not None:
            warn(
                f"the metric saw {len(self._few[0])} examples in all, CKA needs at least {MIN_EXAMPLES}: they count for"
                " nothing"
            )
        return self._value()

    def _value(self) -> Tensor:
        return self.xy / (self.xx.sqrt() * self.yy.sqrt())

    def _forget(self) -> None:
        self._few = self._last = None
        self._of_last = torch.zeros(len(SUMS), dtype=torch.float64)

    def _replace(self, products: Tensor) -> None:
        """Put other products in the place of what the last minibatch adds to the sums."""
        for name, change in zip(SUMS, products - self._of_last, strict=True):
            own = getattr(self, name)
            setattr(self, name, own + change.to(own.device))
        self._of_last = products

    def _products(self, x: Tensor, y: Tensor) -> Tensor:
        """(3,) what a minibatch adds to the sums."""
        k, l = self._centred(x), self._centred(y)
        l = l.to(k.device)
        return torch.stack([(k * l).sum(), (k * k).sum(), (l * l).sum()]).cpu()

    def _centred(self, x: Tensor) -> Tensor:
        rows = as_rows(x.double())
        k, exponent = gram(rows, self.kernel, self.bandwidth)
        a, diagonal = u_center(k)
        # Where all pairs are equally similar, what differs is rounding.
        empty = a.square().sum() <= DEGENERATE * diagonal.square().sum()
        a, diagonal = torch.where(empty, 0.0, a), torch.where(empty, 0.0, diagonal)
        centred = a if self.estimator == "unbiased" else recover_centered(a, diagonal)
        return torch.ldexp(centred, exponent)


def _joined(first: tuple[Tensor, Tensor] | None, second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    if first is None:
        return second
    x, y = (torch.cat([a.to(b.device), b]) for a, b in zip(first, second, strict=True))
    return x, y
