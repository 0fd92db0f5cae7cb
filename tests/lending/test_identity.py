"""Hashes of weights: of any kind of tensor, and another for other values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cka_plugin.lending.identity import weights_hash
from tests.support.nets import ConvNet


def test_weights_of_any_kind_are_hashed() -> None:
    dense = nn.Linear(64, 64)
    sparse = nn.Module()
    sparse.register_buffer("table", torch.eye(3).to_sparse())
    half = ConvNet().bfloat16()
    found = {weights_hash(module) for module in (dense, sparse, half, ConvNet(), nn.Module())}
    assert len(found) == 5
    assert weights_hash(ConvNet()) in found


def test_quantised_weights_are_hashed() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    hashes = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 64))
        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        hashes.append(weights_hash(model))
    assert hashes[0] == hashes[1] != hashes[2]
