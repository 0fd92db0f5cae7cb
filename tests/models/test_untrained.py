"""An untrained copy of a model: its layers, and none of its weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cka_plugin as cka
from tests.support.nets import ConvNet


def test_an_untrained_copy_has_the_layers_and_not_the_weights() -> None:
    net = ConvNet(seed=1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    fresh = cka.untrained(net)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert cka.layers(fresh) == cka.layers(net)
    assert not torch.equal(fresh.stem.weight, net.stem.weight)
    assert not fresh.blocks[0].bn1.running_mean.any()  # statistics start afresh too
    assert torch.equal(cka.untrained(net).stem.weight, fresh.stem.weight)
    assert not torch.equal(cka.untrained(net, seed=1).stem.weight, fresh.stem.weight)


def test_parameters_without_an_initialiser_are_shuffled_and_named() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.arange(100.0))
            self.head = nn.Linear(100, 2)

    net = Bare()
    with pytest.warns(cka.CKAWarning, match="no initialiser sets table of Bare"):
        fresh = cka.untrained(net)
    assert not torch.equal(fresh.table, net.table)
    assert torch.equal(fresh.table.sort().values, net.table)


def test_frameworks_initialise_their_own_models() -> None:
    timm, transformers = pytest.importorskip("timm"), pytest.importorskip("transformers")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(torch.randn_like(parameter))
    fresh = cka.untrained(vit)
    assert fresh.pos_embed.std() < 0.05
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32
    )
    net = transformers.ViTForImageClassification(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert cka.untrained(net).vit.embeddings.position_embeddings.mean().abs() < 0.1
    assert type(cka.untrained("sample:narrow")).__name__ == "ResNet"
    with pytest.raises(TypeError, match="nn.Module or a name"):
        cka.untrained(3)
