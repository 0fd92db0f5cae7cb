"""One architecture has the same names in every framework, and with the same weights a CKA of 1 at every layer."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cka_plugin as cka

timm = pytest.importorskip("timm")
hf = pytest.importorskip("transformers")
tv = pytest.importorskip("torchvision.models")

VIT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
VIT |= {"image_size": 32, "patch_size": 8, "num_labels": 5, "layer_norm_eps": 1e-6}
RESNET = {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "num_labels": 5}
STAGES = {"depths": [1, 2, 3, 1], "hidden_sizes": [8, 8, 16, 16], "num_labels": 5}


def timm_vit() -> nn.Module:
    return timm.models.VisionTransformer(32, 8, num_classes=5, embed_dim=16, depth=3, num_heads=2)


def timm_deit() -> nn.Module:
    kind = timm.models.deit.VisionTransformerDistilled
    return kind(img_size=32, patch_size=8, num_classes=5, embed_dim=16, depth=3, num_heads=2)


def timm_swin() -> nn.Module:
    return timm.models.SwinTransformer(
        32, 2, num_classes=5, embed_dim=24, depths=(1, 2), num_heads=(2, 2), window_size=4
    )


def hf_swin() -> nn.Module:
    settings = {"image_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 24, "depths": [1, 2]}
    return hf.SwinForImageClassification(hf.SwinConfig(**settings, num_heads=[2, 2], num_labels=5))


def timm_convnext() -> nn.Module:
    return timm.models.ConvNeXt(num_classes=5, depths=(1, 2, 3, 1), dims=(8, 8, 16, 16))


def names(model: nn.Module, granularity: str) -> list[str]:
    return [layer.name for layer in cka.layers(model, granularity)]


SAME: dict[str, list[Callable[[], nn.Module]]] = {
    "vit": [
        timm_vit,
        lambda: hf.ViTForImageClassification(hf.ViTConfig(**VIT)),
        lambda: tv.VisionTransformer(32, 8, 3, 2, 16, 64, num_classes=5),
    ],
    "resnet": [
        lambda: timm.create_model("resnet18"),
        lambda: hf.ResNetForImageClassification(hf.ResNetConfig(**RESNET)),
        tv.resnet18,
    ],
    "convnext": [
        timm_convnext,
        lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**STAGES)),
        lambda: tv.ConvNeXt([tv.convnext.CNBlockConfig(8, 8, d) for d in (1, 2, 3, 1)]),
    ],
    "swin": [
        lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, embed_dim=24),
        lambda: hf.SwinForImageClassification(hf.SwinConfig(image_size=64, window_size=4, embed_dim=24)),
        lambda: tv.swin_t(),
    ],
    "swinv2": [
        lambda: timm.create_model("swinv2_tiny_window8_256", img_size=64, embed_dim=24),
        lambda: hf.Swinv2ForImageClassification(hf.Swinv2Config(image_size=64, window_size=8, embed_dim=24)),
        lambda: tv.swin_v2_t(),
    ],
    "regnet": [
        lambda: timm.create_model("regnety_004"),
        lambda: hf.RegNetForImageClassification(
            hf.RegNetConfig(depths=[1, 3, 6, 6], hidden_sizes=[48, 104, 208, 440], groups_width=8)
        ),
        tv.regnet_y_400mf,
    ],
    "deit": [
        lambda: timm.create_model("deit_tiny_distilled_patch16_224", depth=3),
        lambda: hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(num_hidden_layers=3, hidden_size=48)),
    ],
    "beit": [
        lambda: timm.create_model("beit_base_patch16_224", depth=3, embed_dim=48),
        lambda: hf.BeitForImageClassification(hf.BeitConfig(num_hidden_layers=3, hidden_size=48)),
    ],
    "efficientnet": [
        lambda: timm.create_model("efficientnet_b0"),
        lambda: hf.EfficientNetForImageClassification(
            hf.EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0)
        ),
        tv.efficientnet_b0,
    ],
    "mobilenet_v2": [
        lambda: timm.create_model("mobilenetv2_100"),
        lambda: hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config()),
        tv.mobilenet_v2,
    ],
    "mobilenet_v1": [
        lambda: timm.create_model("mobilenetv1_100"),
        lambda: hf.MobileNetV1ForImageClassification(hf.MobileNetV1Config()),
    ],
    "dinov2": [
        lambda: timm.create_model("vit_small_patch14_dinov2", depth=3, embed_dim=48, num_heads=2),
        lambda: hf.Dinov2Model(hf.Dinov2Config(num_hidden_layers=3, hidden_size=48, num_attention_heads=2)),
    ],
    "clip_vision": [
        lambda: timm.create_model("vit_base_patch32_clip_224", depth=3, embed_dim=48, num_heads=2),
        lambda: hf.CLIPVisionModelWithProjection(
            hf.CLIPVisionConfig(num_hidden_layers=3, hidden_size=48, num_attention_heads=2, intermediate_size=64)
        ),
    ],
    "convnextv2": [
        lambda: timm.create_model("convnextv2_atto"),
        lambda: hf.ConvNextV2ForImageClassification(
            hf.ConvNextV2Config(depths=[2, 2, 6, 2], hidden_sizes=[40, 80, 160, 320])
        ),
    ],
}


@pytest.mark.parametrize("family", SAME)
@pytest.mark.parametrize("granularity", ["stage", "block"])
def test_every_framework_gives_an_architecture_the_same_names(family: str, granularity: str) -> None:
    found = [names(build(), granularity) for build in SAME[family]]
    assert all(other == found[0] for other in found)


# The same weights


def vit_key(key: str) -> tuple[str, int | None]:
    """The name in timm of a weight of Hugging Face's ViT, and which third of it, where timm keeps three in one."""
    number = re.search(r"layers?\.(\d+)\.", key)
    if number is None:
        ends = {"cls_token": "cls_token", "distillation_token": "dist_token", "cls_classifier": "head"}
        ends |= {
            "distillation_classifier": "head_dist",
            "position_embeddings": "pos_embed",
            "projection": "patch_embed.proj",
        }
        ends |= {"layernorm": "norm", "classifier": "head"}
        own = next(own for theirs, own in ends.items() if theirs in key)
        return (
            (own, None)
            if own in ("cls_token", "dist_token", "pos_embed")
            else (f"{own}.{key.rpartition('.')[2]}", None)
        )
    inside = {
        r"q_proj|query": ("attn.qkv", 0),
        r"k_proj|key": ("attn.qkv", 1),
        r"v_proj|value": ("attn.qkv", 2),
        r"attention\.(o_proj|output\.dense)": ("attn.proj", None),
        r"layernorm_before": ("norm1", None),
        r"layernorm_after": ("norm2", None),
        r"fc1|intermediate": ("mlp.fc1", None),
        r"fc2|output": ("mlp.fc2", None),
    }
    own, third = next(found for pattern, found in inside.items() if re.search(pattern, key))
    return f"blocks.{number[1]}.{own}.{key.rpartition('.')[2]}", third


def vit_weights(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {key: vit_key(key) for key in ours}
    return {key: theirs[own] if third is None else theirs[own].chunk(3)[third] for key, (own, third) in found.items()}


def resnet_weights(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    def own(key: str) -> str:
        block = re.search(r"stages\.(\d)\.layers\.(\d)\.(layer\.(\d)|shortcut)\.(convolution|normalization)\.(.*)", key)
        if block is None:
            ends = {"embedder.convolution": "conv1", "embedder.normalization": "bn1", "classifier.1": "fc"}
            return f"{next(o for t, o in ends.items() if t in key)}.{key.rpartition('.')[2]}"
        stage, number, what, layer, kind, rest = block.groups()
        is_norm = kind == "normalization"
        inside = (
            f"downsample.{int(is_norm)}" if what == "shortcut" else f"{'bn' if is_norm else 'conv'}{int(layer) + 1}"
        )
        return f"layer{int(stage) + 1}.{number}.{inside}.{rest}"

    return {key: theirs[own(key)] for key in ours}


def swin_weights(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    def own(key: str) -> Tensor:
        kind = key.rpartition(".")[2]
        stage = re.search(r"layers\.(\d)\.(blocks\.\d)?", key)
        if stage is None:
            ends = {"projection": "patch_embed.proj", "embeddings.norm": "patch_embed.norm", "classifier": "head.fc"}
            return theirs[next((f"{o}.{kind}" for t, o in ends.items() if t in key), f"norm.{kind}")]
        if "downsample" in key:  # timm counts it to the stage that it leads to
            return theirs[f"layers.{int(stage[1]) + 1}.{key[key.index('downsample') :]}"]
        place = f"layers.{stage[1]}.{stage[2]}"
        if "bias_table" in key:
            return theirs[f"{place}.attn.relative_position_bias_table"]
        third = re.search(r"([qkv])_proj", key)
        if third is not None:
            return theirs[f"{place}.attn.qkv.{kind}"].chunk(3)["qkv".index(third[1])]
        inside = {"o_proj": "attn.proj", "layernorm_before": "norm1", "layernorm_after": "norm2"}
        inside |= {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}
        return theirs[f"{place}.{next(o for t, o in inside.items() if t in key)}.{kind}"]

    return {key: own(key) for key in ours}


def in_order(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Where both register their modules in the same order."""
    assert len(theirs) == len(ours)
    return {key: value.reshape(ours[key].shape) for key, value in zip(ours, theirs.values(), strict=True)}


@pytest.mark.parametrize(
    ("theirs", "ours", "translate"),
    [
        (timm_vit, SAME["vit"][1], vit_weights),
        (lambda: timm.create_model("resnet18", num_classes=5), SAME["resnet"][1], resnet_weights),
        (timm_convnext, SAME["convnext"][1], in_order),
        (timm_deit, lambda: hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**VIT)), vit_weights),
        (timm_swin, hf_swin, swin_weights),
    ],
    ids=["vit", "resnet", "convnext", "deit", "swin"],
)
def test_timm_and_hugging_face_agree_at_every_layer(
    theirs: Callable[[], nn.Module],
    ours: Callable[[], nn.Module],
    translate: Callable[[dict[str, Tensor], dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    torch.manual_seed(0)
    one, other = theirs(), ours()
    with torch.no_grad():
        for parameter in one.parameters():
            if parameter.ndim == 1:  # layer scales and biases start where they do nothing
                parameter.uniform_(0.5, 1.0)
    other.load_state_dict(translate(one.state_dict(), other.state_dict()))
    images = torch.randn(16, 3, 32, 32)
    comparison = cka.compare({"timm": one, "hf": other}, data=images, batch_size=8, progress=False)
    assert [l.name for l in comparison.layers("timm")] == [l.name for l in comparison.layers("hf")]
    np.testing.assert_allclose(np.diag(comparison.matrix("timm", "hf")), 1.0, atol=1e-5)
    with torch.inference_mode():
        logits = other.eval()(images).logits
        torch.testing.assert_close(one.eval()(images), logits, rtol=1e-3, atol=1e-4 * float(logits.abs().max()))
