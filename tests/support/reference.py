"""References written from the equations, with traces and in float64: nothing here uses the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn


def linear(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    return x @ x.T


def rbf(x: np.ndarray, bandwidth: float = 0.5) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    distances = np.square(x[:, None] - x[None]).sum(-1)
    return np.exp(-distances / (2 * bandwidth**2 * np.median(distances)))


def hsic_1(k: np.ndarray, l: np.ndarray) -> float:
    """Song et al. 2012; Nguyen, Raghu & Kornblith 2021, equation 3."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    first = np.trace(k @ l)
    second = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ l @ one)
    return (first + second - third) / (n * (n - 3))


def u_centred(k: np.ndarray) -> np.ndarray:
    """U-centring (Székely & Rizzo 2014) of (..., n, n) Gram matrices, from its definition."""
    n = k.shape[-1]
    k = k * (1 - np.eye(n))
    rows = k.sum(-1)
    total = rows.sum(-1)[..., None, None]
    centred = k - (rows[..., :, None] + rows[..., None, :]) / (n - 2) + total / ((n - 1) * (n - 2))
    return centred * (1 - np.eye(n))


def hsic_0(k: np.ndarray, l: np.ndarray) -> float:
    """Kornblith et al. 2019, equation 3."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(k @ h @ l @ h)) / (n - 1) ** 2


def minibatch_cka(
    xs: Sequence[np.ndarray],
    ys: Sequence[np.ndarray],
    kernel: Callable[[np.ndarray], np.ndarray] = linear,
    hsic: Callable[[np.ndarray, np.ndarray], float] = hsic_1,
) -> float:
    """Equation 2 of Nguyen, Raghu & Kornblith 2021, with minibatches weighted by n(n-3)."""
    sums = np.zeros(3)
    for x, y in zip(xs, ys, strict=True):
        x, y = np.asarray(x, np.float64).reshape(len(x), -1), np.asarray(y, np.float64).reshape(len(y), -1)
        k, l = kernel(x - x.mean(0)), kernel(y - y.mean(0))  # a shift of the features changes neither kernel
        n = len(x)
        weight = n * (n - 3) if hsic is hsic_1 else (n - 1) ** 2
        sums += weight * np.array([hsic(k, l), hsic(k, k), hsic(l, l)])
    return float(sums[0] / np.sqrt(sums[1] * sums[2]))


def correlated(seed: int, n: int = 40, d: int = 12, e: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) and (n, e): the second is the first e features of the first, with as much noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, x[:, :e] + rng.normal(size=(n, e))


def activations(model: nn.Module, paths: Sequence[str], batches: Sequence[Tensor]) -> dict[str, list[np.ndarray]]:
    """Outputs of modules, copied the moment they are made, one array a minibatch."""
    kept: dict[str, list[np.ndarray]] = {path: [] for path in paths}
    handles = []
    for path in paths:

        def hook(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...], path: str = path) -> None:
            first = output[0] if isinstance(output, tuple) else output
            kept[path].append(first.detach().to(torch.float64, copy=True).numpy())

        handles.append(model.get_submodule(path).register_forward_hook(hook))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                model(batch)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return kept
