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


def timm_dinov2() -> nn.Module:
    return timm.models.VisionTransformer(32, 8, num_classes=0, embed_dim=16, depth=3, num_heads=2, init_values=1.0)


def timm_beit() -> nn.Module:
    settings = {"embed_dim": 16, "depth": 3, "num_heads": 2, "init_values": 0.1, "use_abs_pos_emb": False}
    return timm.models.beit.Beit(32, 8, num_classes=5, use_rel_pos_bias=True, **settings)


def timm_clip() -> nn.Module:
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 0}
    return timm.create_model("vit_base_patch32_clip_quickgelu_224", **settings)


def hf_mobilenet(version: int) -> nn.Module:
    """With the padding and the epsilon of PyTorch, not those of TensorFlow."""
    settings = {"tf_padding": False, "layer_norm_eps": 1e-5, "num_labels": 1000}
    if version == 1:
        return hf.MobileNetV1ForImageClassification(hf.MobileNetV1Config(**settings))
    return hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(**settings))


def hf_efficientnet() -> nn.Module:
    settings = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280, "num_labels": 1000}
    return hf.EfficientNetForImageClassification(hf.EfficientNetConfig(**settings))


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
            hf.RegNetConfig(depths=[1, 3, 6, 6], hidden_sizes=[48, 104, 208, 440], groups_width=8, num_labels=1000)
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
            hf.ConvNextV2Config(depths=[2, 2, 6, 2], hidden_sizes=[40, 80, 160, 320], num_labels=1000)
        ),
    ],
}


@pytest.mark.parametrize("family", SAME)
@pytest.mark.parametrize("granularity", ["stage", "block"])
def test_every_framework_gives_an_architecture_the_same_names(family: str, granularity: str) -> None:
    found = [names(build(), granularity) for build in SAME[family]]
    assert all(other == found[0] for other in found)


# The same weights


# What the name of a weight in Hugging Face's ViTs says, the name in timm, and which third of it, where timm keeps three
# in one. CLIP, BEiT and DINOv2 have names of their own for some.
VIT_BLOCK: dict[str, tuple[str, int | None]] = {
    r"(q_proj|query)\.weight": ("attn.qkv.weight", 0),
    r"(k_proj|key)\.weight": ("attn.qkv.weight", 1),
    r"(v_proj|value)\.weight": ("attn.qkv.weight", 2),
    r"(q_proj|query)\.bias": ("attn.qkv.bias|attn.q_bias", 0),
    r"(k_proj|key)\.bias": ("attn.qkv.bias", 1),
    r"(v_proj|value)\.bias": ("attn.qkv.bias|attn.v_bias", 2),
    r"relative_position_bias_table": ("attn.relative_position_bias_table", None),
    r"(attention|self_attn)\.(o_proj|out_proj|output\.dense)": ("attn.proj", None),
    r"layernorm_before|(layer_)?norm1": ("norm1", None),
    r"layernorm_after|(layer_)?norm2": ("norm2", None),
    r"layer_scale(\d)\.lambda1": (r"ls\1.gamma", None),
    r"lambda_(\d)": (r"gamma_\1", None),
    r"fc1|intermediate": ("mlp.fc1", None),
    r"fc2|output": ("mlp.fc2", None),
}
VIT_ENDS = {
    r"cls_token|class_embedding": "cls_token",
    r"distillation_token": "dist_token",
    r"position_embedding": "pos_embed",
    r"patch_embedding(\.weight|s\.projection)": "patch_embed.proj",
    r"pre_layrnorm": "norm_pre",
    r"pooler\.layernorm": "fc_norm",
    r"layernorm": "norm",
    r"distillation_classifier": "head_dist",
    r"cls_classifier|classifier": "head",
}


def vit_weight(theirs: dict[str, Tensor], key: str) -> Tensor:
    number = re.search(r"layers?\.(\d+)\.", key)
    table = VIT_BLOCK if number else {pattern: (own, None) for pattern, own in VIT_ENDS.items()}
    pattern = next(p for p in table if re.search(p, key))
    own, third = table[pattern]
    if r"\1" in own:
        own = re.search(pattern, key).expand(own)
    prefix = f"blocks.{number[1]}." if number else ""
    names = [f"{prefix}{one}{end}" for one in own.split("|") for end in ("", f".{key.rpartition('.')[2]}")]
    found = next(name for name in names if name in theirs)
    return theirs[found].chunk(3)[third] if third is not None and "qkv" in found else theirs[found]


def vit_weights(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    unused = {key for key in ours if "mask_token" in key}  # of training, which timm leaves out
    return {key: ours[key] if key in unused else vit_weight(theirs, key).reshape(ours[key].shape) for key in ours}


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


def regnet_weights(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    inside = {r"shortcut": "downsample", r"layer\.0": "conv1", r"layer\.1": "conv2", r"layer\.3": "conv3"}
    inside |= {r"attention\.0": "se.fc1", r"attention\.2": "se.fc2"}

    def own(key: str) -> str:
        kind = key.rpartition(".")[2]
        part = "bn" if "normalization" in key else "conv"
        block = re.search(r"stages\.(\d)\.layers\.(\d+)\.(.*)", key)
        if block is None:
            return f"head.fc.{kind}" if "classifier" in key else f"stem.{part}.{kind}"
        place = next(own for pattern, own in inside.items() if re.match(pattern, block[3].replace("layer.2.", "")))
        part = "" if place.startswith("se") else f"{part}."
        return f"s{int(block[1]) + 1}.b{int(block[2]) + 1}.{place}.{part}{kind}"

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
        (timm_dinov2, lambda: hf.Dinov2Model(hf.Dinov2Config(**VIT)), vit_weights),
        (
            timm_beit,
            lambda: hf.BeitForImageClassification(hf.BeitConfig(**VIT, use_relative_position_bias=True)),
            vit_weights,
        ),
        (timm_clip, lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**VIT)), vit_weights),
        (lambda: timm.create_model("regnety_004"), SAME["regnet"][1], regnet_weights),
        (lambda: timm.create_model("mobilenetv1_100"), lambda: hf_mobilenet(1), in_order),
        (lambda: timm.create_model("mobilenetv2_100"), lambda: hf_mobilenet(2), in_order),
        (lambda: timm.create_model("tf_efficientnet_b0"), hf_efficientnet, in_order),
        (SAME["convnextv2"][0], SAME["convnextv2"][1], in_order),
    ],
    ids=[
        *["vit", "resnet", "convnext", "deit", "swin", "dinov2", "beit", "clip", "regnet"],
        *["mobilenet_v1", "mobilenet_v2", "efficientnet", "convnextv2"],
    ],
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
    found = np.diag(comparison.matrix("timm", "hf"))
    alike = found[:-1] if "CLIP" in type(other).__name__ else found  # whose final norm sees the class token alone
    np.testing.assert_allclose(alike, 1.0, atol=1e-5)
    with torch.inference_mode():
        returned = other.eval()(images)
        if "logits" in returned:
            logits = returned.logits
            torch.testing.assert_close(one.eval()(images), logits, rtol=1e-3, atol=1e-4 * float(logits.abs().max()))
