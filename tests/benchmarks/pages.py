"""Pages of the sizes that people have: how large they are, how fast they open and answer a click in a browser.

A page of one pair at module granularity is to stay under 2 MB, one of 30 models of 50 layers, or of 1,000 classes,
under 15 MB; each opens within 3 s on 2 cores and answers a click within 0.1 s.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.comparison import Comparison
from tests.support.browser import browser, opened


def stack(seed: int, depth: int, wide: int = 16, classes: int = 10) -> nn.Sequential:
    """A plain network of so many leaf modules."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = [nn.Linear(32, wide)]
    while len(modules) < depth - 1:
        modules.append(nn.ReLU() if len(modules) % 2 else nn.Linear(wide, wide))
    return nn.Sequential(*modules, nn.Linear(wide, classes))


def made(models: int, depth: int, examples: int = 512, classes: int = 10) -> Comparison:
    """Plain networks on made data, with labels that the first of them half knows."""
    nets = {f"model-{seed:02}": stack(seed, depth, classes=classes) for seed in range(models)}
    x = torch.randn(examples, 32, generator=torch.Generator().manual_seed(0))
    labels = nets["model-00"](x).argmax(1)
    labels[::2] = torch.randint(classes, (len(labels[::2]),), generator=torch.Generator().manual_seed(1))
    return cka.compare(nets, data=(x, labels), granularity="module", batch_size=32, progress=False)


def deep() -> Comparison:
    """Two networks of 400 layers that all live: rotations and tanh."""
    x = torch.randn(256, 32, generator=torch.Generator().manual_seed(0))
    nets = {}
    for seed in range(2):
        torch.manual_seed(seed)
        linear = [nn.utils.parametrizations.orthogonal(nn.Linear(32, 32)) for _ in range(200)]
        for one in linear:
            nn.utils.parametrize.remove_parametrizations(one, "weight")
        nets[f"model-{seed:02}"] = nn.Sequential(*(module for one in linear for module in (one, nn.Tanh())))
    return cka.compare(nets, data=x, granularity="module", batch_size=32, progress=False)


def resnets() -> Comparison:
    """Two networks of timm at module granularity."""
    images = torch.rand(128, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"pretrained": False, "granularity": "module", "batch_size": 16, "progress": False}
    return cka.compare("resnet18", "resnet50", data=images, labels=torch.arange(128) % 10, **options)


# What is compared, and whether the page has all details of every pair (None: as it decides by itself).
CASES: dict[str, tuple[Callable[[], Comparison], bool | None]] = {
    "one pair at module granularity": (resnets, None),
    "30 models of 50 layers": (lambda: made(30, 50), None),
    "1,000 classes, without details": (lambda: made(2, 10, examples=10_000, classes=1000), False),
    "one pair of 400 layers, without details": (deep, False),
}


def measure(repeats: int = 3) -> dict[str, Any]:
    """Write and open a page of each case."""
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder), repeats)


def written(folder: Path, repeats: int) -> dict[str, Any]:
    """The same, with the pages left in a folder."""
    found = {}
    with browser() as started, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (make, details) in CASES.items():
            comparison = make()
            start = time.perf_counter()
            path = comparison.report(folder / f"{name[:12].replace(' ', '-')}.html", details=details)
            seconds = time.perf_counter() - start
            figures = sorted(_opened(started, path) for _ in range(repeats))
            found[name] = {
                "megabytes": round(path.stat().st_size / 1e6, 2),
                "layers": [len(comparison.layers(one)) for one in comparison.names[:2]],
                "written_s": round(seconds, 1),
                "opened_s": round(figures[repeats // 2][0], 2),
                "click_ms": round(sorted(one[1] for one in figures)[repeats // 2], 1),
                "pair_ms": round(sorted(one[2] for one in figures)[repeats // 2], 1),
            }
            print(name, found[name], flush=True)
    return found


def _opened(started: Any, path: Path) -> tuple[float, float, float]:
    """Seconds until a page is drawn; milliseconds until a click shows a profile, and another pair is shown."""
    start = time.perf_counter()
    with opened(started, path) as page:
        seconds = time.perf_counter() - start
        click = page.page.evaluate(
            """() => {
              const frames = document.querySelectorAll(".heatmap");
              const frame = frames[frames.length - 1];
              const start = performance.now();
              frame.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
              document.body.getBoundingClientRect();
              return performance.now() - start;
            }"""
        )
        pair = page.page.evaluate(
            """() => new Promise((done) => {
              const other = document.querySelectorAll(".chooser select")[1];
              const title = document.querySelector("#pair h2");
              const before = title.textContent;
              const start = performance.now();
              other.value = other.value === "0" ? "1" : "0";
              const seen = () => title.textContent !== before
                && requestAnimationFrame(() => done(performance.now() - start));
              new MutationObserver(seen).observe(title, { childList: true, subtree: true });
              other.dispatchEvent(new Event("change"));
            })"""
        )
        assert page.said == []
        assert page.asked == []
        return seconds, click, pair


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'page':52}{'MB':>7}{'opens, s':>10}{'click, ms':>11}{'pair, ms':>10}{'written, s':>12}"]
    for name, row in found.items():
        lines.append(
            f"{name:52}{row['megabytes']:7.2f}{row['opened_s']:10.2f}{row['click_ms']:11.1f}{row['pair_ms']:10.1f}"
            f"{row['written_s']:12.1f}"
        )
    return "\n".join(lines)
