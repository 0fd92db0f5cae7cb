"""What the pages `docs/coming/` say of other packages, as figures: `python -m tests.benchmarks coming --rivals RIVALS`.

Beside the packages of `tests.benchmarks.rivals`, thingsvision in a folder of its own, of which only the module of CKA
is imported:

    pip install --no-deps --target RIVALS/thingsvision thingsvision torchtyping "typeguard<3"
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka
from tests.benchmarks.rivals import Rival, silent
from tests.support import reference

LAYERS = ["0", "2", "4"]
Rows = list[tuple[str, str, str, str]]  # package, claim, its figure, ours


class Half(nn.Module):
    """One half of the features of an example: what two of these see has nothing in common."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.chunk(2, dim=1)[self.which]


def measure(rivals: dict[str, Rival], folder: Path | None) -> Rows:
    """A row a claim; whole models and a loader first, then arrays."""
    rows = [row for name, rival in rivals.items() for row in of_models(name, rival)]
    if "torch-cka" in rivals:
        left = hooks_left(importlib.import_module("torch_cka"))
        rows.append(("torch-cka", "hooks left on two models of three layers", str(left), "0"))
    if folder is not None and (folder / "thingsvision").is_dir():
        rows += of_arrays(thingsvision_cka(folder / "thingsvision"))
    return rows


def of_models(name: str, rival: Rival) -> Iterator[tuple[str, str, str, str]]:
    """The least similarity of unrelated layers, the error where means are large, and hooks that stay."""
    torch.manual_seed(0)
    x = torch.randn(512, 32)
    loader = DataLoader(TensorDataset(x, torch.zeros(512, dtype=torch.int64)), batch_size=64)
    halves = [
        nn.Sequential(nn.Linear(32, 32), Half(which), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8))
        for which in (0, 1)
    ]
    for net in halves:
        nn.init.eye_(net[0].weight)
    with silent():
        least = [found(*halves, LAYERS, LAYERS, loader)[1:, 1:].min() for found in (rival, of_modules)]
    yield name, "least CKA of unrelated layers", f"{least[0]:+.4f}", f"{least[1]:+.4f}"
    for mean in (0, 100, 1000):
        nets = [nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 8)) for _ in "ab"]
        for net in nets:
            with torch.no_grad():
                net[0].bias.fill_(mean)
        batches = list(x.split(64))
        kept = [reference.activations(net, LAYERS[:1], batches)["0"] for net in nets]
        truth = reference.minibatch_cka(*kept)
        told = [_error(found, nets, loader, truth) for found in (rival, of_modules)]
        yield name, f"error, features with a mean of {mean}", told[0], told[1]


def _error(found: Rival, nets: list[nn.Module], loader: DataLoader, truth: float) -> str:
    try:
        with silent():
            return f"{abs(found(*nets, LAYERS[:1], LAYERS[:1], loader)[0, 0] - truth):.1e}"
    except AssertionError as error:
        return f"fails: {error}"


def of_modules(a: nn.Module, b: nn.Module, layers_a: list[str], layers_b: list[str], loader: Any) -> np.ndarray:
    """Ours, of modules by their paths."""
    layers = {"a": layers_a, "b": layers_b}
    return cka.compare({"a": a, "b": b}, data=loader, granularity="module", layers=layers, progress=False).matrix()


def hooks_left(package: ModuleType) -> int:
    """How many hooks torch-cka leaves on two models of three layers."""
    nets = [nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in "ab"]
    loader = DataLoader(TensorDataset(torch.randn(64, 8), torch.zeros(64, dtype=torch.int64)), batch_size=32)
    with silent(), torch.no_grad():
        package.CKA(*nets, device="cpu").compare(loader)
    return sum(len(module._forward_hooks) for net in nets for module in net.modules())


def thingsvision_cka(folder: Path) -> ModuleType:
    """Its module of CKA alone: the package imports far more."""
    where = folder / "thingsvision" / "core" / "cka"
    spec = importlib.util.spec_from_file_location(
        "thingsvision_cka", where / "__init__.py", submodule_search_locations=[str(where)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.path.append(str(folder))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def of_arrays(package: ModuleType) -> Iterator[tuple[str, str, str, str]]:
    """thingsvision on arrays: its default, its unbiased estimator, and its RBF kernel."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 64)), rng.normal(size=(200, 512))
    y[:, :8] += 3 * x[:, :8]

    def theirs(**options: Any) -> float:
        return float(package.get_cka("numpy", m=len(x), **{"kernel": "linear", **options}).compare(x.copy(), y.copy()))

    yield "thingsvision", "as it comes", f"{theirs():.4f}", f"{cka.cka(x, y, estimator='biased'):.4f} (biased)"
    yield "thingsvision", "unbiased=True", f"{theirs(unbiased=True):.4f}", f"{cka.cka(x, y):.4f}"
    for sigma, told in ((1.0, "σ = 1, as it comes"), (None, "σ from the median")):
        mine = cka.cka(x, y, kernel="rbf", bandwidth=1.0, estimator="biased")
        yield "thingsvision", f"RBF, {told}", f"{theirs(kernel='rbf', sigma=sigma):.4f}", f"{mine:.4f} (bandwidth=1)"


def table(rows: Rows) -> str:
    """A Markdown table."""
    lines = ["| package | what | theirs | here |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
