"""(2) Beside other packages on ResNet-18; (3) multiples of the bare forward passes, with peak memory; (4) a folder."""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import cka_plugin as cka
from tests.benchmarks.jobs import images, loader_of
from tests.benchmarks.rivals import installed, silent
from tests.gpu.record import Record, wall

# Published by pytorch-cka, on an H100: seconds for ResNet-18 on 12 minibatches of 1,000 images.
PUBLISHED = {
    "18 layers": {"pytorch-cka": 1.16, "torch-cka": 8.98},
    "all layers": {"pytorch-cka": 2.33, "torch-cka": 82.2},
}
SLOW = 60.0  # seconds after which another package is not run again
TARGETS = {"block": 1.25, "module": 1.6}
ZOO = (
    "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "efficientnet_b0", "mobilenetv3_large_100",
    "convnext_tiny", "regnety_016", "vit_small_patch16_224", "swin_tiny_patch4_window7_224",
)  # fmt: skip


def beside_others(record: Record, rivals: Path | None, repeats: int) -> None:
    """(2) Two ResNet-18 of torchvision's shape: their 18 layers with weights, and all leaf modules."""
    import timm

    count, n, pixels = record.size.of((12, 1000, 32), (2, 32, 32))
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models.append(timm.create_model("resnet18", zero_init_last=False).eval())
    loader = loader_of(images(count * n, pixels), n)
    leaves = [layer.path for layer in cka.layers(models[0], "module")]
    weighted = [path for path in leaves if isinstance(models[0].get_submodule(path), nn.Conv2d | nn.Linear)]
    lists = {"18 layers": [path for path in weighted if "downsample" not in path], "all layers": leaves}
    others = {name: _on(record.device, name) for name in installed(rivals) if name in ("pytorch-cka", "torch-cka")}
    for title, paths in lists.items():
        runs: dict[str, Callable[[], np.ndarray]] = {"cka_plugin": lambda p=paths: _ours(record, models, loader, p)}
        runs |= {name: lambda other=other, p=paths: other(*models, p, loader) for name, other in others.items()}
        ours = None
        for name, one in runs.items():
            found = _Timed(record, one, repeats, ours)
            published = PUBLISHED[title].get(name, PUBLISHED[title]["pytorch-cka"])
            what = f"ResNet-18, {count} x {n} images of {pixels} px, {title} ({len(paths)}): {name}"
            record.measure(what, found.measure, **{"published on an H100": published})
            ours = found.matrix if ours is None else ours
    if not others:
        record.measure("pytorch-cka and torch-cka", lambda: {"not there": "give --rivals (tests/benchmarks/rivals.py)"})


class _Timed:
    """One package on the models: its time, and how far its numbers are from ours."""

    def __init__(self, record: Record, run: Callable[[], np.ndarray], repeats: int, ours: np.ndarray | None) -> None:
        self.record, self.run, self.repeats, self.ours = record, run, repeats, ours
        self.matrix: np.ndarray | None = None

    def measure(self) -> dict[str, Any]:
        with silent():
            started = time.perf_counter()
            self.matrix = self.run()
            first = time.perf_counter() - started
            seconds = [first] if first > SLOW else wall(self.record, self.run, self.repeats)
        apart = {} if self.ours is None else {"apart from ours": float(np.abs(self.matrix - self.ours).max())}
        return {"seconds": statistics.median(seconds), **apart, "runs": seconds}


def _ours(record: Record, models: list[nn.Module], loader: DataLoader, paths: list[str]) -> np.ndarray:
    given = {"granularity": "module", "layers": paths, "device": str(record.device), "progress": False}
    return cka.compare(dict(zip("ab", models, strict=True)), data=loader, **given).matrix("a", "b")


def _on(device: torch.device, name: str) -> Callable[..., np.ndarray]:
    """Another package on this device, as its README uses it."""

    def torch_cka(a: nn.Module, b: nn.Module, paths: list[str], loader: DataLoader) -> np.ndarray:
        package = importlib.import_module("torch_cka")
        found = package.CKA(a, b, model1_layers=paths, model2_layers=paths, device=str(device))
        try:
            with torch.no_grad():
                found.compare(loader)
            return found.export()["CKA"].cpu().numpy()
        finally:
            for module in (*a.modules(), *b.modules()):
                module._forward_hooks.clear()

    def pytorch_cka(a: nn.Module, b: nn.Module, paths: list[str], loader: DataLoader) -> np.ndarray:
        package = importlib.import_module("cka")
        given = {"layers": paths, "model2_layers": paths, "device": str(device), "progress": False}
        matrix = package.compute_cka(a.to(device), b.to(device), loader, **given)[0]
        return matrix.cpu().numpy() if isinstance(matrix, torch.Tensor) else np.asarray(matrix)

    return torch_cka if name == "torch-cka" else pytorch_cka


def multiples(record: Record, repeats: int) -> None:
    """(3) What ours takes over the bare forward passes, in time and in peak memory."""
    n, minibatches, pixels = record.size.of((64, 8, 224), (8, 1, 64))
    names = record.size.of(("resnet50", "vit_base_patch16_224", "convnext_base"), ("resnet18",))
    loader = loader_of(images(n * minibatches, pixels), n)
    for name in names:
        models = _models([name], record)
        for granularity in ("block", "module"):
            what = f"{name}, {minibatches} x {n} images of {pixels} px, {granularity}"
            record.measure(what, lambda m=models, g=granularity: _multiple(record, m, loader, g, repeats),
                           target=TARGETS[granularity])  # fmt: skip
        del models
        _empty(record)
    zoo = record.size.of(ZOO, ("resnet10t", "mobilenetv3_small_050"))
    few = loader_of(images(n * max(1, minibatches // 2), pixels), n)
    models = _models(zoo, record)
    record.measure(f"a zoo of {len(zoo)}, all pairs, block", lambda: _multiple(record, models, few, "block", 1),
                   target=TARGETS["block"])  # fmt: skip


def _models(names: Any, record: Record) -> dict[str, nn.Module]:
    import timm

    torch.manual_seed(0)
    return {name: timm.create_model(name).eval().to(record.device) for name in names}


def _multiple(record: Record, models: dict[str, nn.Module], loader: DataLoader, granularity: str, repeats: int) -> Any:
    def bare() -> None:
        with torch.inference_mode():
            for x, _ in loader:
                on_device = x.to(record.device, non_blocking=True)
                for model in models.values():
                    model(on_device)

    def ours() -> None:
        options = {"granularity": granularity, "device": str(record.device), "progress": False}
        found = cka.compare(models, data=loader, **options)
        for place, a in enumerate(found.names):
            for b in found.names[place:]:
                found.matrix(a, b)

    figures: dict[str, Any] = {}
    peaks = {}
    with silent():
        for name, one in (("bare", bare), ("ours", ours)):
            _empty(record)
            held = _reset_peak(record)
            figures[name] = wall(record, one, repeats)
            peaks[name] = _peak(record) - held
    seconds = {name: statistics.median(runs) for name, runs in figures.items()}
    memory = {f"peak MB {name}": peak / 1e6 for name, peak in peaks.items()} if record.on_cuda else {}
    return {"to bare forward": seconds["ours"] / seconds["bare"], **seconds, **memory, "runs": figures}


def _empty(record: Record) -> None:
    if record.on_cuda:
        torch.cuda.empty_cache()


def _reset_peak(record: Record) -> int:
    if not record.on_cuda:
        return 0
    torch.cuda.reset_peak_memory_stats(record.device)
    return torch.cuda.memory_allocated(record.device)


def _peak(record: Record) -> int:
    return torch.cuda.max_memory_allocated(record.device) if record.on_cuda else 0


def from_folder(record: Record) -> None:
    """(4) The share of time in which the device has nothing to do, as files are read and prepared."""
    count = record.size.of(768, 16)
    names = record.size.of(("resnet50", "convnext_tiny", "vit_small_patch16_224"), ("resnet10t",))
    with tempfile.TemporaryDirectory() as folder:
        _photographs(Path(folder), count)
        for workers in (0, "auto"):
            title = f"{count} JPEGs of 320 x 280 px, {len(names)} models, workers={workers!r}"
            record.measure(title, lambda w=workers: _waiting(record, names, Path(folder), count, {"workers": w}))


def _photographs(folder: Path, count: int) -> None:
    from PIL import Image

    for place, image in enumerate(images(count, 320)[:, :, :280]):
        pixels = (image.permute(1, 2, 0) * 40 + 128).clamp(0, 255).to(torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / f"{place:05d}.jpg", quality=90)


def _waiting(record: Record, names: Any, folder: Path, count: int, own: dict[str, Any]) -> dict[str, Any]:
    given = {"pretrained": False, "device": str(record.device), "progress": False, "batch_size": min(64, count // 2)}
    size = 224
    models = _models(names, record)
    ready = images(count, size).to(record.device if record.on_cuda else "cpu")
    with silent():
        from_files = wall(record, lambda: cka.compare(*names, data=str(folder), **given, **own), 1)[0]
        alone = wall(record, lambda: cka.compare(models, data=ready, **given), 1)[0]
    return {
        "seconds from files": from_files,
        "seconds from memory": alone,
        "share of time the device waits": max(0.0, 1 - alone / from_files),
    }
