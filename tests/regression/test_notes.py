"""Notes: what a reader should know and what fails no check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cka_plugin as cka
from cka_plugin.regression.baseline import make_baseline


def test_a_model_of_another_preparation_gets_a_note(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False).eval()
    rng = np.random.default_rng(0)
    data = list(rng.integers(0, 255, (40, 16, 16, 3), dtype=np.uint8))
    made = make_baseline(model, data, progress=False)
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.9, 0.4), "std": (0.1, 0.5, 0.9)}
    result = cka.check(model, made, data)
    assert any("prepared as" in note for note in result.notes)
