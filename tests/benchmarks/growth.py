"""How the cost grows: with the number of models, of layers, of examples a minibatch, of features.

Costs are process CPU seconds; those of models and layers stand beside the bare forward passes of the same models.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from cka_plugin.core import gram, pack, u_center
from tests.benchmarks.jobs import bare, images, loader_of, ours

COUNTS = (1, 2, 5, 10, 20)
DEPTHS = (10, 26, 50)
SIZES = (32, 64, 128, 256, 512)
FEATURES = (256, 1024, 4096, 16384, 65536)


def measure(repeats: int) -> dict[str, dict[str, float]]:
    """Medians, in seconds or, for Gram vectors, milliseconds."""
    import timm

    loader = loader_of(images(256, 32), 64)
    zoo = [timm.create_model("resnet10t", zero_init_last=False).eval() for _ in range(COUNTS[-1])]
    deep = {depth: timm.create_model(f"resnet{depth}{'t' if depth == 10 else ''}", zero_init_last=False).eval()
            for depth in DEPTHS}  # fmt: skip
    zoos = {str(count): {f"{i}": model for i, model in enumerate(zoo[:count])} for count in COUNTS}
    found: dict[str, dict[str, float]] = {"models": {}, "models, bare forward": {}, "leaves": {}}
    for count, chosen in zoos.items():  # before ours, which leaves memory to the allocator
        found["models, bare forward"][count] = _cost(partial(bare, chosen, loader), repeats)
    for count, chosen in zoos.items():
        found["models"][count] = _cost(partial(ours, chosen, loader, "block"), repeats)
    for model in deep.values():
        layers = sum(not list(module.children()) for module in model.modules())
        found["leaves"][str(layers)] = _cost(partial(ours, {"a": model}, loader, "module"), repeats)
    with torch.inference_mode():
        found["n, at 16,384 features, ms"] = {
            str(n): 1e3 * _cost(_vector(torch.randn(n, 16384)), repeats) for n in SIZES
        }
        found["features, at n = 128, ms"] = {
            str(d): 1e3 * _cost(_vector(torch.randn(128, d)), repeats) for d in FEATURES
        }
    return found


def _vector(x: torch.Tensor) -> Callable[[], Any]:
    return lambda: pack(u_center(gram(x)[0])[0])


def _cost(run: Callable[[], Any], repeats: int) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def table(found: dict[str, dict[str, float]]) -> str:
    """One line a curve."""
    lines = ["| cost against | |", "|---|---|"]
    for what, costs in found.items():
        lines.append(f"| {what} | " + ", ".join(f"{key}: {cost:.3g}" for key, cost in costs.items()) + " |")
    return "\n".join(lines)
