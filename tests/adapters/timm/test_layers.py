"""The blocks and stages of a timm model, under the common names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cka_plugin.adapters import registry as adapters
from tests.support.timm_models import (
    ADAPTER,
    bare,
    captured,
    names,
    real,
)
from tests.sweeps.test_timm import mapped_count

PUBLISHED = {
    "resnet50": [3, 4, 6, 3],
    "resnet101": [3, 4, 23, 3],
    "regnetx_002": [1, 1, 4, 7],
    "vgg16": [2, 2, 3, 3, 3],  # each convolution with its activation
    "vgg19_bn": [2, 2, 4, 4, 4],
    "densenet121": [6, 12, 24, 16],  # dense layers
    "efficientnet_b0": [1, 2, 2, 3, 3, 4, 1],
    "mobilenetv3_large_100": [1, 2, 3, 4, 2, 3, 1],
    "convnext_tiny": [3, 3, 9, 3],
    "swin_tiny_patch4_window7_224": [2, 2, 6, 2],
    "maxvit_tiny_tf_224": [2, 2, 5, 2],  # one block is a pair of block and grid attention
    "coatnet_0_rw_224": [2, 3, 7, 2],
    "davit_tiny": [1, 1, 3, 1],  # one block is a pair of spatial and channel attention
    "hiera_tiny_224": [1, 2, 7, 2],
    "pvt_v2_b2": [3, 4, 6, 3],
    "mvitv2_tiny": [1, 2, 5, 2],
    "pit_ti_224": [2, 6, 4],
    "inception_v3": [3, 5, 3],  # mixed modules
    "inception_v4": [1, 6, 8, 4],  # of 22 modules three are the stem
    "dla34": [1, 1, 2, 4, 4, 2],
    "nasnetalarge": [6, 6, 6],
    "legacy_xception": [1, 1, 9, 1],
    "volo_d1_224": [4, 4, 8, 2 + 2],  # class attention goes on counting
    "caformer_s18": [3, 3, 9, 3],
    "csatv2": [2, 2, 8, 6],
    "starnet_s1": [2, 2, 8, 3],
    "vit_base_patch16_224": [12],
    "deit_tiny_distilled_patch16_224": [12],
    "beit_base_patch16_224": [12],
    "mixer_b16_224": [12],
    "cait_xxs24_224": [24 + 2],
    "xcit_nano_12_p16_224": [12 + 2],
    "crossvit_tiny_240": [3],  # of two branches each
    "vit_base_r50_s16_224": [12],  # a ResNet is the embedding
}


STAGED = ["test_resnet", "test_convnext", "test_mambaout", "regnetx_002", "pvt_v2_b0", "starnet_s050", "levit_128s"]


def sorted_values(x: Tensor) -> Tensor:
    """The values of each example in order, whatever the layout: maps, tokens, channels last."""
    return x.flatten(1).sort().values


def test_an_isotropic_network_has_embed_blocks_norm_and_head() -> None:
    model = bare("vit_tiny_patch16_224", depth=3)
    assert names(model) == ["embed", "blocks.0", "blocks.1", "blocks.2", "norm", "head"]
    assert names(model, "stage") == names(model)


def test_a_staged_network_has_stem_stages_and_head() -> None:
    model = bare("resnet18")
    assert names(model, "stage") == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]
    assert names(model)[:4] == ["stem", "stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0"]
    assert [layer.path for layer in ADAPTER.layers(model)][:3] == ["maxpool", "layer1.0", "layer1.1"]


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_blocks_are_as_many_as_the_paper_of_the_architecture_says(architecture: str) -> None:
    assert mapped_count(ADAPTER.layers(bare(architecture))) == PUBLISHED[architecture]


@pytest.mark.parametrize("architecture", STAGED)
def test_the_stages_captured_are_the_last_intermediates_that_timm_gives_itself(architecture: str) -> None:
    model = real(architecture)
    x = torch.randn(2, *model.pretrained_cfg["input_size"])
    outputs, _ = captured(model, x, "stage")
    stages = [output for name, output in outputs.items() if name.startswith("stages.")]
    with torch.inference_mode():
        intermediates = model.forward_intermediates(x, intermediates_only=True)
    assert len(stages) == sum(entry["module"] not in ("stem", "act1") for entry in model.feature_info)
    for stage, intermediate in zip(stages, intermediates[-len(stages) :], strict=True):
        torch.testing.assert_close(sorted_values(stage), sorted_values(intermediate), rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ["test_vit", "test_vit3", "test_vit_relpos", "tnt_s_patch16_224"])
def test_the_blocks_captured_are_the_intermediates_that_timm_gives_itself(architecture: str) -> None:
    model = real(architecture)
    x = torch.randn(2, *model.pretrained_cfg["input_size"])
    outputs, _ = captured(model, x)
    prefix = getattr(model, "num_prefix_tokens", 1)
    blocks = [output[:, prefix:] for name, output in outputs.items() if name.startswith("blocks.")]
    with torch.inference_mode():
        intermediates = model.forward_intermediates(x, intermediates_only=True)
    for block, intermediate in zip(blocks, intermediates, strict=True):
        torch.testing.assert_close(sorted_values(block), sorted_values(intermediate), rtol=0, atol=0)


def test_a_unit_of_a_plain_network_ends_with_its_activation() -> None:
    plain, with_norm = bare("vgg11"), bare("vgg11_bn")
    assert [type(plain.get_submodule(layer.path)) for layer in ADAPTER.layers(plain)[:-1]] == [nn.ReLU] * 8
    assert [type(with_norm.get_submodule(layer.path)) for layer in ADAPTER.layers(with_norm)[:-1]] == [nn.ReLU] * 8


def test_depth_counts_layers_from_0_to_1() -> None:
    depths = [layer.depth for layer in ADAPTER.layers(bare("test_vit"))]
    assert depths == pytest.approx(np.linspace(0, 1, 9))


@pytest.mark.parametrize("architecture", ["resnet18", "convnext_atto", "efficientnet_b0", "vit_tiny_patch16_224"])
def test_a_features_only_model_has_the_blocks_of_the_whole_model(architecture: str) -> None:
    blocks = [name for name in names(bare(architecture)) if "blocks" in name]
    assert [name for name in names(bare(architecture, features_only=True)) if "blocks" in name] == blocks


def test_blocks_that_cannot_be_told_are_an_error_that_names_the_model_and_the_way_out() -> None:
    model = bare("regnetx_002", features_only=True)
    with pytest.raises(ValueError, match=r'blocks of FeatureListNet.*granularity="module"'):
        ADAPTER.layers(model)
    assert adapters.layers(model, "module")
