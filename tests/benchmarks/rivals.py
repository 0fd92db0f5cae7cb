"""The other packages, each used as its own README says, behind one signature.

Install each without its dependencies in a folder of its own below RIVALS (`ckatorch` wants seaborn beside it):

    for package in torch-cka ckatorch cka-pytorch pytorch-cka; do
        pip install --no-deps --target RIVALS/$package $package
    done
    pip install --no-deps --target RIVALS/ckatorch seaborn
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

Matrix = np.ndarray
Paths = list[str]
Rival = Callable[[nn.Module, nn.Module, Paths, Paths, DataLoader], Matrix]


def torch_cka(a: nn.Module, b: nn.Module, layers_a: Paths, layers_b: Paths, loader: DataLoader) -> Matrix:
    package = importlib.import_module("torch_cka")
    found = package.CKA(a, b, model1_layers=layers_a, model2_layers=layers_b, device="cpu")
    try:
        with torch.no_grad():
            found.compare(loader)
        return found.export()["CKA"].numpy()
    finally:  # it leaves its hooks on the models, which would slow down all that runs later
        for module in (*a.modules(), *b.modules()):
            module._forward_hooks.clear()


def ckatorch(a: nn.Module, b: nn.Module, layers_a: Paths, layers_b: Paths, loader: DataLoader) -> Matrix:
    package = importlib.import_module("ckatorch")
    if layers_a != layers_b:
        raise NotImplementedError("takes one list of layer names for both models")
    with torch.no_grad():
        found = package.CKA(a, b, layers=layers_a)
        return np.asarray(found(loader, epochs=1, f_extract=lambda batch: {"x": batch[0]}, f_args={}))


def cka_pytorch(a: nn.Module, b: nn.Module, layers_a: Paths, layers_b: Paths, loader: DataLoader) -> Matrix:
    package = importlib.import_module("cka_pytorch.cka")
    found = package.CKACalculator(a, b, model1_layers=layers_a, model2_layers=layers_b, verbose=False)
    try:
        return found.calculate_cka_matrix(loader, num_epochs=1).numpy()
    finally:
        found.reset()


def pytorch_cka(a: nn.Module, b: nn.Module, layers_a: Paths, layers_b: Paths, loader: DataLoader) -> Matrix:
    package = importlib.import_module("cka")
    found = package.compute_cka(a, b, loader, layers=layers_a, model2_layers=layers_b, device="cpu", progress=False)
    return np.asarray(found[0])


PACKAGES: dict[str, Rival] = {
    "pytorch-cka": pytorch_cka,
    "torch-cka": torch_cka,
    "ckatorch": ckatorch,
    "cka-pytorch": cka_pytorch,
}


def installed(folder: Path | None) -> dict[str, Rival]:
    """The packages found below `folder`, ready to be imported."""
    if folder is None:
        return {}
    found = {name: rival for name, rival in PACKAGES.items() if (folder / name).is_dir()}
    sys.path += [str(folder / name) for name in found]
    return found


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Neither warnings nor progress bars."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
