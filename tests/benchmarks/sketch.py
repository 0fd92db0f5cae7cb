"""Sketches beside whole Gram matrices: error of CKA, what is said of it, size of the file, time.

Two residual MLPs with random weights on 65,536 made examples, n = 256: 256 minibatches.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.core import Projection, Sums, inner_products, pairs_of, self_products

SIZES = (256, 1024, 4096)
EXAMPLES, N, FEATURES = 65_536, 256, 64
SEEDS = 3  # errors of one draw go together, as layers resemble one another


class Narrow(nn.Module):
    """A network of 2 `blocks` + 2 leaf modules with little to compute."""

    def __init__(self, seed: int, blocks: int = 6, width: int = 48) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Linear(FEATURES, width)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(blocks)])
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + 2 * block(x)
        return self.head(x)


def examples(count: int) -> Tensor:
    """(count, 64) with a spectrum that falls, as those of photographs do."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, FEATURES, generator=generator) / (1 + torch.arange(FEATURES)).sqrt()


def measure(repeats: int) -> dict[str, Any]:
    """Errors over all pairs of layers of the two networks and 3 seeds; CPU seconds and file sizes of a run of both."""
    models = {"a": Narrow(0).eval(), "b": Narrow(1).eval()}
    data = examples(EXAMPLES)
    exact, whole = _run(models, data, None)
    found: dict[str, Any] = {"whole": whole}
    for size in SIZES:
        _, figures = _run(models, data, size)
        drawn = [projected(exact, Projection(size, seed)) for seed in range(SEEDS)]
        errors = np.stack([sums.cka() for sums in drawn]) - exact.matrix("a", "b")
        said = np.stack([sums.sketch_error() for sums in drawn])
        found[str(size)] = {
            **figures,
            "largest error": float(np.abs(errors).max()),
            "root mean square error": float(np.sqrt(np.square(errors).mean())),
            "root mean square of the standard errors said": float(np.sqrt(np.square(said).mean())),
            "largest standard error said": float(said.max()),
        }
    return found


def projected(whole: cka.Comparison, projection: Projection) -> Sums:
    """The sums of the layers of models a and b from sketches of their whole vectors."""
    xy, xx, yy = [], [], []
    for a, b in zip(whole["a"].minibatches, whole["b"].minibatches, strict=True):
        x, y = (projection.of(torch.from_numpy(np.array(m.vectors)), m.index).numpy() for m in (a, b))
        xy.append(inner_products(x, a.diagonals, y, b.diagonals))
        xx.append(self_products(x, a.diagonals))
        yy.append(self_products(y, b.diagonals))
    meeting = np.array([projection.meeting(pairs_of(n)) for n in whole["a"].batch_sizes])
    return Sums(np.stack(xy), np.stack(xx), np.stack(yy), whole.sums("a", "b").first_pass, meeting)


def _run(models: dict[str, nn.Module], data: Tensor, size: int | None) -> tuple[cka.Comparison, dict[str, float]]:
    start = time.process_time()
    options = {"batch_size": N, "granularity": "module", "device": "cpu", "progress": False, "sketch": size}
    made = cka.compare(models, data=data, **options)
    made.matrix("a", "b")
    seconds = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        bytes_written = made.save(Path(folder) / "both.safetensors").stat().st_size
    vectors = sum(m.vectors.nbytes for name in made.names for m in made[name].minibatches)
    return made, {"CPU seconds": seconds, "MB of vectors": vectors / 1e6, "MB of file": bytes_written / 1e6}


def table(found: dict[str, Any]) -> str:
    """A Markdown table, a row a size."""
    head = [
        "kept of a minibatch", "largest error", "rms error", "rms said", "MB of vectors", "MB of file", "CPU seconds",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for size, row in found.items():
        errors = [
            row.get(key)
            for key in ("largest error", "root mean square error", "root mean square of the standard errors said")
        ]
        cells = ["exact" if error is None else f"{error:.4f}" for error in errors]
        cells += [f"{row['MB of vectors']:.1f}", f"{row['MB of file']:.1f}", f"{row['CPU seconds']:.1f}"]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
