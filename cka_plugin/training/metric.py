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

if TYPE_CHECKING or find_spec("torchmetrics") is not None:
    from torchmetrics import Metric
else:
    from cka_plugin.training.summed import Metric


class CKA(Metric):
    """Minibatch CKA of two streams of activations: each `update` is one minibatch, in every process.

    The state is three sums, so processes and parts add up exactly: `sync`, `merge_state` and `forward` work as in any
    metric. Where torchmetrics is installed this is a `torchmetrics.Metric`; without it the same calls add up over the
    default process group.

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

    def __init__(
        self, kernel: str = "linear", estimator: str = "unbiased", bandwidth: float = 0.5, **options: Any
    ) -> None:
        super().__init__(**options)
        if kernel not in KERNELS:
            raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")
        check_estimator(estimator)
        self.kernel, self.estimator, self.bandwidth = kernel, estimator, bandwidth
        for name in ("xy", "xx", "yy"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add one minibatch.

        Args:
            x: (n, ...) activations, at least 4 examples; further axes are flattened.
            y: (n, ...) of the same examples.

        Raises:
            ValueError: unequal numbers of examples, or fewer than 4.
        """
        if len(x) != len(y) or len(x) < MIN_EXAMPLES:
            raise ValueError(
                f"a minibatch of {len(x)} and {len(y)} examples: expected the same examples, at least {MIN_EXAMPLES}"
            )
        k, l = self._centred(x), self._centred(y)
        self.xy += (k * l.to(k.device)).sum().to(self.xy.device)
        self.xx += (k * k).sum().to(self.xx.device)
        self.yy += (l * l).sum().to(self.yy.device)

    def compute(self) -> Tensor:
        """The CKA of all minibatches so far, a float64 scalar; NaN where a stream is constant or not finite."""
        return self.xy / (self.xx.sqrt() * self.yy.sqrt())

    def _centred(self, x: Tensor) -> Tensor:
        rows = as_rows(x.detach().double())
        k, exponent = gram(rows, self.kernel, self.bandwidth)
        a, diagonal = u_center(k)
        empty = (
            a.square().sum() <= DEGENERATE * diagonal.square().sum()
        )  # all pairs are equally similar, but for rounding
        a, diagonal = torch.where(empty, 0.0, a), torch.where(empty, 0.0, diagonal)
        centred = a if self.estimator == "unbiased" else recover_centered(a, diagonal)
        return torch.ldexp(centred, exponent)
