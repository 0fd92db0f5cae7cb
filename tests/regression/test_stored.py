"""Baselines as files: they come back as they were, any saved representation is one, a damaged one is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import cka_plugin as cka
from cka_plugin.regression.baseline import Baseline
from cka_plugin.representation import Representation
from tests.support.checked import X
from tests.support.nets import ConvNet


def test_a_baseline_comes_back_from_its_file(net: ConvNet, baseline: Baseline, tmp_path: Path) -> None:
    loaded = Baseline.load(baseline.save(tmp_path / "net.safetensors"))
    assert loaded.noise == baseline.noise
    assert loaded.environment == baseline.environment
    assert isinstance(cka.load(tmp_path / "net.safetensors"), Representation)
    assert cka.check(net, tmp_path / "net.safetensors", X, 0.9999).passed
    assert cka.check(tmp_path / "net.safetensors", baseline, min_cka=0.9999).passed


def test_any_saved_representation_is_a_baseline(net: ConvNet, tmp_path: Path) -> None:
    path = cka.represent(net, X, name="net", progress=False).save(tmp_path / "net.safetensors")
    result = cka.check(net, path, X)
    assert result.passed
    assert result.n_minibatches == 4
    assert any("Intervals need at least 8 minibatches" in note for note in result.notes)
    assert all(math.isnan(row.low) for row in result.layers)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "text"])
def test_a_damaged_baseline_is_an_error_with_its_name(
    net: ConvNet, baseline: Baseline, tmp_path: Path, damage: str
) -> None:
    path = baseline.save(tmp_path / "damaged.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(3)}, path)
    else:
        path.write_text("no safetensors file")
    with pytest.raises(ValueError, match=r"damaged\.safetensors"):
        cka.check(net, path, X)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        cka.check(net, tmp_path / "nowhere.safetensors", X)
