"""How far each package's numbers are from a float64 reference, on trained networks and real digits.

Install each rival without its dependencies in a folder of its own below RIVALS (`ckatorch` wants seaborn beside it):

    pip install --no-deps --target RIVALS/torch-cka torch-cka
    python -m tests.benchmarks.accuracy --rivals RIVALS

Each package is used as its own README says, on the same models, layers and minibatches; the error is the largest
over all
pairs of layers.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import cka_plugin as cka
from cka_plugin import sample
from tests import reference

Matrix = np.ndarray
Rival = Callable[[nn.Module, nn.Module, list[str], DataLoader], Matrix]

BLOCKS = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
BEFORE_RELU = [f"{block}.bn1" for block in BLOCKS]


def torch_cka(a: nn.Module, b: nn.Module, layers: list[str], loader: DataLoader) -> Matrix:
    package = importlib.import_module("torch_cka")
    found = package.CKA(a, b, model1_layers=layers, model2_layers=layers, device="cpu")
    with torch.no_grad():
        found.compare(loader)
    return found.export()["CKA"].numpy()


def ckatorch(a: nn.Module, b: nn.Module, layers: list[str], loader: DataLoader) -> Matrix:
    package = importlib.import_module("ckatorch")
    with torch.no_grad():
        found = package.CKA(a, b, layers=layers)
        return np.asarray(found(loader, epochs=1, f_extract=lambda batch: {"x": batch[0]}, f_args={}))


def cka_pytorch(a: nn.Module, b: nn.Module, layers: list[str], loader: DataLoader) -> Matrix:
    package = importlib.import_module("cka_pytorch.cka")
    found = package.CKACalculator(a, b, model1_layers=layers, hook_recursive=False, verbose=False)
    return found.calculate_cka_matrix(loader, num_epochs=1).numpy()


def pytorch_cka(a: nn.Module, b: nn.Module, layers: list[str], loader: DataLoader) -> Matrix:
    package = importlib.import_module("cka")
    return np.asarray(package.compute_cka(a, b, [loader], layers=layers)[0])


def ours(a: nn.Module, b: nn.Module, layers: list[str], loader: DataLoader) -> Matrix:
    comparison = cka.compare({"a": a, "b": b}, data=loader, granularity="module", progress=False)
    blocks = cka.compare({"a": a, "b": b}, data=loader, progress=False)
    held = comparison if layers == BEFORE_RELU else blocks
    rows = [held["a"].position_of(layer) for layer in layers]
    return held.matrix("a", "b")[np.ix_(rows, rows)]


PACKAGES: dict[str, Rival] = {
    "torch-cka": torch_cka,
    "ckatorch": ckatorch,
    "cka-pytorch": cka_pytorch,
    "pytorch-cka": pytorch_cka,
    "cka_plugin": ours,
}


def expected(a: nn.Module, b: nn.Module, layers: list[str], data: Dataset, size: int) -> Matrix:
    batches = [x for x, _ in DataLoader(data, batch_size=size)]
    kept = [reference.activations(model, layers, batches) for model in (a, b)]
    return np.array([[reference.minibatch_cka(kept[0][p], kept[1][q]) for q in layers] for p in layers])


def measure() -> list[tuple[str, dict[str, str]]]:
    images, labels, _ = sample.digits("test")
    whole, equal = TensorDataset(images, torch.from_numpy(labels)), None
    equal = TensorDataset(images[:768], torch.from_numpy(labels[:768]))
    cases = [
        ("block outputs", BLOCKS, equal, False),
        ("outputs before an in-place ReLU", BEFORE_RELU, equal, False),
        ("a short last minibatch", BLOCKS, whole, False),
        ("a shuffling loader, a model with its copy: 1 - least diagonal", BLOCKS, equal, True),
    ]
    table = []
    for title, layers, data, shuffle in cases:
        row = {}
        truth = None if shuffle else expected(sample.model("narrow"), sample.model("wide"), layers, data, 64)
        for name, package in PACKAGES.items():
            a = sample.model("narrow")
            b = sample.model("narrow" if shuffle else "wide")
            torch.manual_seed(0)
            loader = DataLoader(data, batch_size=64, shuffle=shuffle)
            try:
                with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                    warnings.simplefilter("ignore")
                    found = package(a, b, layers, loader)
                error = 1 - np.diag(found).min() if truth is None else np.abs(found - truth).max()
                row[name] = f"{error:.1e}"
            except Exception as error:  # a package that cannot do it is a result too
                row[name] = f"fails ({type(error).__name__})"
        table.append((title, row))
        print(title, row, flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rivals", type=Path, required=True, help="folder with one folder a package")
    chosen = parser.parse_args()
    sys.path += [str(folder) for folder in sorted(chosen.rivals.iterdir())]
    table = measure()
    print("\n| |" + "|".join(PACKAGES) + "|\n|---" * 1 + "|---" * len(PACKAGES) + "|")
    for title, row in table:
        print(f"| {title} | " + " | ".join(row[name] for name in PACKAGES) + " |")


if __name__ == "__main__":
    main()
