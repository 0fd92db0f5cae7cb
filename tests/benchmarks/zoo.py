"""A zoo of 300 small models end to end: run, saved, compared, drawn; and the sum for 1,000 models on paper beside it.

    python -m tests.benchmarks zoo --out tests/benchmarks/results

The models are timm's smallest of six families, untrained, 50 seeds of each, on 512 made images of 64 pixels, over two
processes with one thread each. All is measured once: it takes minutes.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import cka_plugin as cka
from cka_plugin.analysis.model_tiles import TILE_LAYERS
from cka_plugin.core import inner_products, pairs_of
from cka_plugin.zoo.workers import ProcessWorkers

FAMILIES = ("test_vit", "test_resnet", "test_convnext", "test_efficientnet", "test_byobnet", "test_nfnet")
SEEDS, IMAGES, PIXELS, WORKERS = 50, 512, 64, 2
PAPER = {"models": 1000, "images": 50_000, "layers": 20, "n": 64}


def network(architecture: str, seed: int) -> nn.Module:
    import timm

    torch.manual_seed(seed)
    keywords = {"img_size": PIXELS} if architecture == "test_vit" else {}
    return timm.create_model(architecture, num_classes=10, **keywords)


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(IMAGES, 3, PIXELS, PIXELS, generator=generator)
    return x + torch.randn(IMAGES, 3, 1, 1, generator=generator), torch.arange(IMAGES) % 10


def measure(repeats: int) -> dict[str, Any]:
    """What each step took, once: wall seconds, bytes; and the sum on paper."""
    zoo = {f"{name}-{seed}": partial(network, name, seed) for name in FAMILIES for seed in range(SEEDS)}
    steps: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = work()
        steps[name] = round(time.perf_counter() - started, 2)
        print(f"{name:50} {steps[name]:8.1f} s", flush=True)
        return found

    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        options = {"progress": False, "workers": 0, "seed": 0}
        with ProcessWorkers(WORKERS, threads=1) as executor:
            run = partial(cka.represent_all, zoo, images(), folder, executor, **options)
            files = step("represent_all, two processes", run)
            step("represent_all again, nothing to do", run)
            size = sum(file.stat().st_size for file in files)
            comparison = step("compare the folder", lambda: cka.compare(folder))
            similarity = step("models(), in memory", comparison.models)
            tiled = cka.compare(folder, max_memory="8MiB")
            by_tiles = step("models(executor), by tiles", lambda: tiled.models(executor))
        step("nearest, of 10 models", lambda: [comparison.nearest(name) for name in comparison.names[:10]])
        found = step("families", comparison.families)
        step("plot models", lambda: comparison.plot("models").savefig(folder / "models.png"))
        step("plot model_map", lambda: comparison.plot("model_map").savefig(folder / "map.png"))
        page = step("report", lambda: comparison.report(folder / "page.html"))
        layers = [len(comparison.layers(name)) for name in comparison.names]
        tiles = sum(file.stat().st_size for file in (folder / "tiles").iterdir())
        return {
            "models": len(files),
            "images": IMAGES,
            "layers": {"least": min(layers), "mean": round(float(np.mean(layers)), 1), "most": max(layers)},
            "seconds": steps,
            "disk MB": {"representations": _mb(size), "tiles": _mb(tiles), "page": _mb(page.stat().st_size)},
            "peak memory MB": {
                "this process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "the largest worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
            },
            "tiles differ from memory by": float(np.abs(by_tiles - similarity).max()),
            "families": {"gap": found.gap.statistic, "p": found.gap.p},
            "on paper": on_paper(),
        }


def on_paper() -> dict[str, Any]:
    """What 1,000 models of 20 layers on 50,000 images take beside their forward passes."""
    models, images, layers, n = (PAPER[name] for name in ("models", "images", "layers", "n"))
    minibatches, pairs = images // n, pairs_of(n)
    in_all = models * layers
    operations = in_all**2 * minibatches * pairs  # both of a multiplication and an addition, of one triangle
    rate = product_rate(n)
    side = TILE_LAYERS // layers  # models
    tiles = (-(-models // side)) * (-(-models // side) + 1) // 2
    return {
        **PAPER,
        "one file, MB": _mb(4 * layers * minibatches * (pairs + n)),
        "all files, GB": round(4 * in_all * minibatches * (pairs + n) / 1e9, 1),
        "logits of 1,000 classes besides, GB": round(4 * models * images * 1000 / 1e9, 1),
        "operations of all pairs": float(operations),
        "operations a second of one thread here": float(rate),
        "core hours of all pairs": round(operations / rate / 3600, 1),
        "tiles of models by models": tiles,
        "memory of a tile's worker, MB": _mb(8 * TILE_LAYERS**2 * 2 + 2 * 4 * TILE_LAYERS * pairs * 2),
        "models() itself, MB": _mb(8 * models**2),
    }


def product_rate(n: int) -> float:
    """Operations a second of the products of one tile, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    vectors = np.random.default_rng(0).standard_normal((TILE_LAYERS, pairs_of(n)), dtype=np.float32)
    diagonals = np.ones((TILE_LAYERS, n), dtype=np.float32)
    inner_products(vectors, diagonals, vectors, diagonals)
    started, count = time.process_time(), 0
    while time.process_time() - started < 1.0:
        inner_products(vectors, diagonals, vectors, diagonals)
        count += 1
    rate = count * 2.0 * TILE_LAYERS**2 * pairs_of(n) / (time.process_time() - started)
    torch.set_num_threads(threads)
    return rate


def _mb(size: float) -> float:
    return round(size / 1e6, 2)


def table(found: dict[str, Any]) -> str:
    """In lines."""
    lines = [f"{found['models']} models, {found['images']} images, {found['layers']['mean']} layers in the mean"]
    lines += [f"{step:45} {seconds:8.1f} s" for step, seconds in found["seconds"].items()]
    for what in ("disk MB", "peak memory MB", "on paper"):
        lines += [f"{what}: {name:40} {value:>12,}" for name, value in found[what].items()]
    return "\n".join(lines)
