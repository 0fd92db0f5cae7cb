"""The limit of a job: what its arithmetic costs, however it is done.

Forward passes in the faster memory format of each model, plus the float32 operations of the symmetric half of all Gram
products at the rate of the best matrix product of their shape, both measured here and now. Centring, packing, comparing
and putting models back are not in it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

FORMATS = (torch.contiguous_format, torch.channels_last)
_SLICE = 1 << 20  # bytes of (n, d) that a product in slices works on at a time
_LEAST = 0.02  # seconds that a product is repeated for, to be timed


class Limit:
    """The limit of one job, to be measured again and again beside what it is the limit of.

    Args:
        models: of the job, by name.
        loader: of the job.
        layers: paths of each model's layers whose Gram matrices are made.
    """

    def __init__(self, models: Mapping[str, nn.Module], loader: DataLoader, layers: Mapping[str, Sequence[str]]):
        self.models, self.loader = models, loader
        self.formats: dict[str, torch.memory_format] = {}
        first = next(iter(loader))[0]
        self.n, self.minibatches = len(first), len(loader)
        self.widths: Counter[int] = Counter()  # how many layers have so many features
        with torch.inference_mode():
            for name, model in models.items():
                self.widths.update(widths_of(model, layers[name], first[:2]))
                self.formats[name] = min(
                    FORMATS, key=lambda kind, m=model: min(_forward(m, first, kind) for _ in "abc")
                )
                model.to(memory_format=self.formats[name])

    def seconds(self) -> dict[str, float]:
        """CPU seconds of one run's forward passes, and of its products."""
        forward = 0.0
        with torch.inference_mode():
            for x, _ in self.loader:
                for name, model in self.models.items():
                    forward += _forward(model, x, self.formats[name])
        return {"forward": forward, "products": self._products()}

    def _products(self) -> float:
        total = 0.0
        for width, layers in self.widths.items():
            operations = self.n * (self.n + 1) * width  # one half of 2 n n d, and the diagonal
            total += self.minibatches * layers * operations / rate(self.n, width)
        return total


def widths_of(model: nn.Module, paths: Sequence[str], x: Tensor) -> list[int]:
    """Features an example of each layer's output."""
    found: list[int] = []
    handles = []
    for path in paths:

        def hook(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
            first = output[0] if isinstance(output, tuple) else output
            found.append(first.numel() // len(x))

        handles.append(model.get_submodule(path).register_forward_hook(hook))
    with torch.inference_mode():
        model(x)
    for handle in handles:
        handle.remove()
    return found


def rate(n: int, d: int) -> float:
    """Operations a CPU second of the best product of (n, d) with (d, n): whole, or in slices that stay in cache."""
    x = torch.randn(n, d)
    width = max(64, _SLICE // (4 * n))
    sums = torch.zeros(n, n)

    def sliced() -> None:
        for part in x.split(width, dim=1):
            sums.addmm_(part, part.T)

    return 2 * n * n * d / min(_timed(lambda: torch.mm(x, x.T, out=sums)), _timed(sliced))


def _timed(run: Callable[[], object]) -> float:
    """CPU seconds of one run: the quickest of some."""
    run()
    best, until = float("inf"), time.process_time() + _LEAST
    while time.process_time() < until or best == float("inf"):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best


def _forward(model: nn.Module, x: Tensor, kind: torch.memory_format) -> float:
    """CPU seconds of a pass over images that lie in the format."""
    model.to(memory_format=kind)  # nothing is done where they do
    started = time.process_time()
    model(x.to(memory_format=kind))
    return time.process_time() - started
