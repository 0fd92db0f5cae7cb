"""Stem or embedding, final norm and head of a timm model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.timm_models import (
    ADAPTER,
    SIZE,
    bare,
    captured,
    real,
)


@pytest.mark.parametrize(
    "architecture",
    [
        "test_resnet",
        "test_convnext",
        "test_vit",
        "test_vit2",
        "test_efficientnet",
        "swin_tiny_patch4_window7_224",
        "test_byobnet",
    ],
)
def test_stem_or_embed_is_what_enters_the_first_block(architecture: str) -> None:
    """With positions and class token added: Hugging Face's embeddings are that too."""
    model = real(architecture)
    first = ADAPTER.layers(model)[1]
    entered: list[Tensor] = []
    model.get_submodule(first.path).register_forward_pre_hook(lambda module, args: entered.append(args[0].clone()))
    outputs, _ = captured(model, torch.randn(2, *model.pretrained_cfg["input_size"]))
    assert torch.equal(next(iter(outputs.values())), entered[0])


@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_convnext", "test_vit", "test_nfnet", "resnetv2_18", "repvit_m0_9", "dla46_c"]
)
def test_head_is_what_the_model_returns(architecture: str) -> None:
    model = real(architecture, num_classes=7)
    outputs, returned = captured(model, torch.randn(2, *model.pretrained_cfg["input_size"]))
    assert list(outputs)[-1] == "head"
    assert torch.equal(outputs["head"].flatten(1), returned)
    assert torch.equal(ADAPTER.logits(model, returned), returned)


@pytest.mark.parametrize("architecture", ["deit_tiny_distilled_patch16_224", "levit_128s", "crossvit_tiny_240"])
def test_of_several_heads_whose_mean_is_returned_head_is_the_first(architecture: str) -> None:
    model = real(architecture, num_classes=7)
    outputs, returned = captured(model, torch.randn(2, *model.pretrained_cfg["input_size"]))
    classifier = model.get_classifier()
    assert model.get_submodule(ADAPTER.layers(model)[-1].path) is classifier[0]
    assert outputs["head"].shape == returned.shape == (2, 7)


def test_without_classes_there_is_no_head_and_features_are_not_logits() -> None:
    model = real("test_resnet", num_classes=0)
    outputs, returned = captured(model, torch.randn(2, 3, SIZE, SIZE))
    assert "head" not in outputs
    assert returned.shape == (2, 96)
    assert ADAPTER.logits(model, returned) is None


@pytest.mark.parametrize(
    ("architecture", "path"),
    [
        ("vit_tiny_patch16_224", "norm"),
        ("beit_base_patch16_224", "fc_norm"),  # after pooling
        ("convnext_atto", "head.norm"),
        ("convnext_tiny_hnf", "norm_pre"),
        ("swin_tiny_patch4_window7_224", "norm"),
        ("resnetv2_50", "norm"),
        ("densenet121", "features.norm5"),
        ("resnet18", None),
        ("efficientnet_b0", None),  # bn2 belongs to the last convolution
        ("levit_128s", None),  # that of its classifier is fused with it
    ],
)
def test_norm_is_the_final_norm_where_there_is_one(architecture: str, path: str | None) -> None:
    found = [layer.path for layer in ADAPTER.layers(bare(architecture)) if layer.kind == "norm"]
    assert found == ([] if path is None else [path])
