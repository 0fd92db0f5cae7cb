"""The jobs that speed is measured on: which models, images, minibatches and layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka

BARE, OURS, OURS_LEAN = "bare forward", "cka_plugin", "cka_plugin, max_memory='64MiB'"
LIMIT = "limit"  # what the arithmetic costs: see `limit.py`
TO_LIMIT = {"block": 1.15, "module": 1.25}  # the most that ours may cost, over the limit
MAX_MEMORY = {OURS: "auto", OURS_LEAN: "64MiB"}


@dataclass(frozen=True)
class Job:
    """One row of the table.

    Attributes:
        title: for people.
        models: timm names.
        pixels: side of the images.
        n: examples a minibatch.
        minibatches: how many.
        granularity: `block` or `module`.
        target: the most that ours may cost, as a share of the bare forward passes.
        target_rival: how many times faster than pytorch-cka ours is to be.
    """

    title: str
    models: tuple[str, ...]
    pixels: int
    n: int
    minibatches: int
    granularity: str
    target: float
    target_rival: float

    def build(self) -> dict[str, nn.Module]:
        """The models, with random weights that leave no layer dead."""
        torch.manual_seed(0)
        import timm

        live = {"zero_init_last": False}
        return {
            name: timm.create_model(name, **(live if name.startswith("resnet") else {})).eval() for name in self.models
        }

    def loader(self) -> DataLoader:
        """Minibatches of seeded noise with as much in low frequencies as photographs have."""
        return loader_of(images(self.n * self.minibatches, self.pixels), self.n)


def loader_of(examples: Tensor, n: int) -> DataLoader:
    """Minibatches (x, label): some packages take nothing else."""
    return DataLoader(TensorDataset(examples, torch.zeros(len(examples), dtype=torch.int64)), batch_size=n)


def images(count: int, pixels: int) -> Tensor:
    """(count, 3, pixels, pixels) smooth random images: their spectrum falls like that of photographs."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(count, 3, pixels, pixels, generator=generator)
    along = torch.fft.fftfreq(pixels) ** 2
    radius = (along[:, None] + along[None, : pixels // 2 + 1]).sqrt().clamp(min=1 / pixels)
    smooth = torch.fft.irfft2(torch.fft.rfft2(noise) / radius, s=(pixels, pixels))
    return smooth / smooth.std()


ZOO = ("resnet18", "resnet26", "resnet34", "mobilenetv3_small_100", "efficientnet_b0", "convnext_atto")
PAIR = ("resnet18", "resnet34")
JOBS = {
    "zoo": Job("six CNNs, 32 px, n = 128, 8 minibatches, blocks", ZOO, 32, 128, 8, "block", 0.70, 8.0),
    "large": Job(
        "three models, 224 px, n = 16, 8 minibatches, blocks",
        ("resnet50", "efficientnet_b0", "vit_tiny_patch16_224"),
        224, 16, 8, "block", 0.75, 2.7,
    ),
    "pair": Job("two ResNets, 32 px, n = 128, 24 minibatches, blocks", PAIR, 32, 128, 24, "block", 1.0, 1.1),
    "leaves": Job("two ResNets, 32 px, n = 256, 4 minibatches, every leaf", PAIR, 32, 256, 4, "module", 1.5, 1.3),
}  # fmt: skip


def bare(models: dict[str, nn.Module], loader: DataLoader) -> None:
    """The forward passes alone, in PyTorch's default memory format."""
    with torch.inference_mode():
        for x, _ in loader:
            for model in models.values():
                model(x)


def ours(
    models: dict[str, nn.Module], loader: DataLoader, granularity: str, max_memory: str = "auto"
) -> cka.Comparison:
    """All pairs of layers of all models, those of one model with itself too."""
    comparison = cka.compare(
        models, data=loader, granularity=granularity, device="cpu", max_memory=max_memory, progress=False
    )
    for position, a in enumerate(comparison.names):
        for b in comparison.names[position:]:
            comparison.matrix(a, b)
    return comparison


def expected(a: nn.Module, b: nn.Module, layers_a: list[str], layers_b: list[str], loader: DataLoader) -> np.ndarray:
    """CKA in float64 of every pair of layers, from the equations: traces of Gram matrices, a minibatch at a time."""
    sums = [np.zeros((len(layers_a), len(layers_b))), np.zeros(len(layers_a)), np.zeros(len(layers_b))]
    for x, _ in loader:
        ks, ls = (_grams(model, layers, x) for model, layers in ((a, layers_a), (b, layers_b)))
        for total, part in zip(sums, _hsic_1(ks, ls), strict=True):
            total += part
    return sums[0] / np.sqrt(np.outer(sums[1], sums[2]))


def _grams(model: nn.Module, layers: list[str], x: Tensor) -> np.ndarray:
    kept: dict[str, np.ndarray] = {}
    handles = []
    for layer in layers:

        def hook(module: nn.Module, args: object, output: Tensor, layer: str = layer) -> None:
            rows = output.detach().to(torch.float64).flatten(1)  # a copy, before anything changes the output in place
            rows = rows - rows.mean(0)
            kept[layer] = (rows @ rows.T).fill_diagonal_(0).numpy()

        handles.append(model.get_submodule(layer).register_forward_hook(hook))
    with torch.inference_mode():
        model(x)
    for handle in handles:
        handle.remove()
    return np.stack([kept[layer] for layer in layers])


def _hsic_1(ks: np.ndarray, ls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n(n-3) HSIC_1 of every pair, and of each with itself (Song et al. 2012)."""
    n = ks.shape[-1]
    rows_k, rows_l = ks.sum(-1), ls.sum(-1)

    def products(p: np.ndarray, q: np.ndarray, rows_p: np.ndarray, rows_q: np.ndarray) -> np.ndarray:
        traces = p.reshape(len(p), -1) @ q.reshape(len(q), -1).T
        totals = np.outer(rows_p.sum(-1), rows_q.sum(-1)) / ((n - 1) * (n - 2))
        return traces + totals - 2 / (n - 2) * (rows_p @ rows_q.T)

    own = [np.array([products(m[i:i+1], m[i:i+1], r[i:i+1], r[i:i+1])[0, 0] for i in range(len(m))])
           for m, r in ((ks, rows_k), (ls, rows_l))]  # fmt: skip
    return products(ks, ls, rows_k, rows_l), own[0], own[1]
