"""How far each package's numbers are from a float64 reference, on trained networks and real digits.

Each package is used as its own README says, on the same models, layers and minibatches; the error is the largest over
all pairs of layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import cka_plugin as cka
from cka_plugin import sample
from tests.benchmarks.rivals import Matrix, Paths, Rival, silent
from tests.support import reference

BLOCKS = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
BEFORE_RELU = [f"{block}.bn1" for block in BLOCKS]


def ours(a: nn.Module, b: nn.Module, layers_a: Paths, layers_b: Paths, loader: DataLoader) -> Matrix:
    granularity = "module" if layers_a == BEFORE_RELU else "block"
    held = cka.compare({"a": a, "b": b}, data=loader, granularity=granularity, progress=False)
    rows, columns = (
        [held[name].position_of(layer) for layer in layers] for name, layers in (("a", layers_a), ("b", layers_b))
    )
    return held.matrix("a", "b")[np.ix_(rows, columns)]


def expected(a: nn.Module, b: nn.Module, layers: list[str], data: Dataset, size: int) -> Matrix:
    batches = [x for x, _ in DataLoader(data, batch_size=size)]
    kept = [reference.activations(model, layers, batches) for model in (a, b)]
    return np.array([[reference.minibatch_cka(kept[0][p], kept[1][q]) for q in layers] for p in layers])


def measure(rivals: dict[str, Rival]) -> list[tuple[str, dict[str, str]]]:
    """Largest errors, a row a case; what a package cannot do is a result too."""
    images, labels, _ = sample.digits("test")
    whole = TensorDataset(images, torch.from_numpy(labels))
    equal = TensorDataset(images[:768], torch.from_numpy(labels[:768]))
    cases = [
        ("block outputs", BLOCKS, equal, False),
        ("outputs before an in-place ReLU", BEFORE_RELU, equal, False),
        ("a short last minibatch", BLOCKS, whole, False),
        ("a shuffling loader, a model with its copy: 1 - least diagonal", BLOCKS, equal, True),
    ]
    rows = []
    for title, layers, data, shuffle in cases:
        row: dict[str, str] = {}
        truth = None if shuffle else expected(sample.model("narrow"), sample.model("wide"), layers, data, 64)
        for name, package in {**rivals, "cka_plugin": ours}.items():
            a = sample.model("narrow")
            b = sample.model("narrow" if shuffle else "wide")
            torch.manual_seed(0)
            loader = DataLoader(data, batch_size=64, shuffle=shuffle)
            try:
                with silent():
                    found = package(a, b, layers, layers, loader)
                error = 1 - np.diag(found).min() if truth is None else np.abs(found - truth).max()
                row[name] = f"{error:.1e}"
            except Exception as error:
                row[name] = f"fails ({type(error).__name__})"
        rows.append((title, row))
    return rows


def table(rows: list[tuple[str, dict[str, Any]]]) -> str:
    """A Markdown table, a column a package."""
    packages = list(rows[0][1])
    lines = ["| | " + " | ".join(packages) + " |", "|---" * (len(packages) + 1) + "|"]
    return "\n".join(
        lines + [f"| {title} | " + " | ".join(row[name] for name in packages) + " |" for title, row in rows]
    )
