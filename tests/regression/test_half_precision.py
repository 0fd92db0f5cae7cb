"""Half precision: half the size, and a loss that is measured and stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline, make_baseline
from tests.support.checked import X, Y, perturbed
from tests.support.nets import ConvNet


def test_half_precision_halves_the_file_and_states_its_loss(net: ConvNet, baseline: Baseline, tmp_path: Path) -> None:
    half = make_baseline(net, X, Y, float16=True, progress=False)
    assert 0 < half.storage_loss < 2e-5
    whole = baseline.save(tmp_path / "whole.safetensors").stat().st_size
    assert half.save(tmp_path / "half.safetensors").stat().st_size < 0.6 * whole
    result = cka.check(net, tmp_path / "half.safetensors", X, min_cka=0.999)
    assert result.passed
    assert "Block structure is not judged: the baseline is stored in half precision." in result.notes
    assert max(1 - row.cka for row in result.layers) == pytest.approx(half.storage_loss, abs=1e-6)
    assert cka.check(perturbed(net, "stem"), tmp_path / "half.safetensors", X).failures[0].startswith("layer stem")


def test_a_resnet50_baseline_of_256_examples_is_at_most_2_mib(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet50", pretrained=False).eval()
    data = torch.randn(256, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, half = (make_baseline(model, data, measure_noise=False, float16=f, progress=False) for f in (False, True))
    assert whole.representation.logits is not None
    assert half.representation.logits is not None
    assert whole.representation.logits.shape == (256, 1000)
    assert len(whole.representation.layers) == 18
    assert whole.save(tmp_path / "whole.safetensors").stat().st_size <= 2 * 2**20
    assert half.save(tmp_path / "half.safetensors").stat().st_size <= 2**20
    assert half.storage_loss < 2e-5
    assert np.array_equal(half.representation.logits.argmax(1), whole.representation.logits.argmax(1))
