"""Pages for tests: small comparisons, and what lies in a page."""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.comparison import Comparison
from cka_plugin.report.page.packing import unpacked


def net(seed: int, wide: int = 16, classes: int = 3) -> nn.Sequential:
    """A small network with weights of its own."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, classes))


def small(names: tuple[str, ...] = ("a", "b"), n: int = 120, **options: Any) -> Comparison:
    """Untrained networks on made data with labels that one of them knows."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32))
    nets = {name: net(seed) for seed, name in enumerate(names)}
    labels = nets[names[0]](x).argmax(1)
    given = {"data": (x, labels), "granularity": "module", "batch_size": 12, "progress": False}
    return cka.compare(nets, **given | options)


def held(text: str, blob: str) -> Any:
    """What lies in the element of a page, as the browser unpacks it."""
    found = re.search(rf'<script type="application/octet-stream" id="{blob}">([^<]*)</script>', text)
    assert found, f"the page has no {blob}"
    return unpacked(html.unescape(found[1]))
