"""Examples that a baseline keeps make data needless."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import cka_plugin as cka
from cka_plugin.regression.baseline import make_baseline
from tests.support.checked import X
from tests.support.nets import ConvNet


@pytest.mark.parametrize("kept", ["tensor", "mapping", "images", "texts"])
def test_kept_examples_make_data_needless(kept: str, net: ConvNet, tmp_path: Path) -> None:
    model: nn.Module = net
    options: dict = {}
    data: object = X
    if kept == "mapping":
        data = {"x": X}
    elif kept == "images":
        rng = np.random.default_rng(0)
        data = list(rng.integers(0, 255, (64, 8, 8, 3), dtype=np.uint8))
        options = {"transforms": lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255}
    elif kept == "texts":
        words = ["cat", "dög", "sun", "moon", "tree"]
        data = [f"{words[i % 5]} and {words[i % 3]} number {i}" for i in range(64)]
        options = {"transforms": lambda text: torch.tensor([float(ord(c)) for c in text.ljust(40)[:40]])}
        model = nn.Sequential(nn.Linear(40, 16), nn.ReLU(), nn.Linear(16, 4))
    made = make_baseline(model, data, keep_examples=True, progress=False, **options)
    path = made.save(tmp_path / "kept.safetensors")
    assert cka.check(model, path, min_cka=0.9999, **options).passed
    assert cka.check(model, path, data, min_cka=0.9999, **options).passed
