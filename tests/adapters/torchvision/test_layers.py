"""The blocks and stages of a torchvision model, under the common names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models as tv

from cka_plugin.adapters import adapter_of, layers
from cka_plugin.adapters.base import first_tensor
from tests.support.torchvision_models import (
    ADAPTER,
    bare,
    names,
)


def activations(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """What every layer gives, by common name."""
    found: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(layer.path).register_forward_hook(
            lambda module, args, output, name=layer.name: found.setdefault(name, first_tensor(output).clone())
        )
        for layer in layers(model)
    ]
    with torch.inference_mode():
        model.eval()(inputs)
    for handle in handles:
        handle.remove()
    return found


def _is_mapped(model: nn.Module) -> bool:
    try:
        found = layers(model)
    except ValueError:
        return False
    modules = dict(model.named_modules())
    return all(layer.path in modules for layer in found) and len({layer.name for layer in found}) == len(found)


TWINS = {
    "resnet18": "resnet18",
    "resnext50_32x4d": "resnext50_32x4d",
    "vit_b_16": "vit_base_patch16_224",
    "swin_t": "swin_tiny_patch4_window7_224",
    "swin_v2_t": "swinv2_tiny_window8_256",
    "convnext_tiny": "convnext_tiny",
    "vgg11": "vgg11",
    "vgg13_bn": "vgg13_bn",
    "densenet121": "densenet121",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_v2_s": "tf_efficientnetv2_s",
    "regnet_y_400mf": "regnety_004",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mnasnet1_0": "mnasnet_100",
    "inception_v3": "inception_v3",
}


def same_order(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their weights under our names, where both register their modules in the same order."""
    assert len(theirs) == len(ours)
    return {key: value.reshape(ours[key].shape) for key, value in zip(ours, theirs.values(), strict=True)}


def vit_from_torchvision(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {
        "class_token": "cls_token",
        "conv_proj": "patch_embed.proj",
        "encoder.pos_embedding": "pos_embed",
        "encoder.layers.encoder_layer_": "blocks.",
        "ln_1": "norm1",
        "ln_2": "norm2",
        "self_attention.in_proj_": "attn.qkv.",
        "self_attention.out_proj": "attn.proj",
        "mlp.0": "mlp.fc1",
        "mlp.3": "mlp.fc2",
        "encoder.ln": "norm",
        "heads.head": "head",
    }
    state = {}
    for key, value in theirs.items():
        for old, new in renamed.items():
            key = key.replace(old, new)
        state[key] = value
    return state


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("resnet18", [2, 2, 2, 2]),
        ("resnet152", [3, 8, 36, 3]),
        ("wide_resnet101_2", [3, 4, 23, 3]),
        ("resnext101_64x4d", [3, 4, 23, 3]),
        ("vgg16", [2, 2, 3, 3, 3]),
        ("alexnet", [1, 1, 3]),
        ("efficientnet_b7", [4, 7, 7, 10, 10, 13, 4]),
        ("efficientnet_v2_l", [4, 7, 7, 10, 19, 25, 7]),
        ("swin_v2_b", [2, 2, 18, 2]),
        ("convnext_large", [3, 3, 27, 3]),
        ("densenet201", [6, 12, 48, 32]),
        ("squeezenet1_0", [3, 4, 1]),
        ("googlenet", [2, 5, 2]),
        ("inception_v3", [3, 5, 3]),
        ("mobilenet_v2", [1, 2, 3, 4, 3, 3, 1]),
        ("mobilenet_v3_large", [1, 2, 3, 4, 2, 3, 1]),
        ("mvit_v2_s", [1, 2, 11, 2]),
        ("swin3d_t", [2, 2, 6, 2]),
        ("maskrcnn_resnet50_fpn_v2", [3, 4, 6, 3]),
        ("quantized_resnet50", [3, 4, 6, 3]),
    ],
)
def test_stages_have_as_many_blocks_as_the_papers_give_them(name: str, depths: list[int]) -> None:
    found = [n for n in names(bare(name)) if n.startswith("stages")]
    assert found == [f"stages.{i}.blocks.{j}" for i, depth in enumerate(depths) for j in range(depth)]


@pytest.mark.parametrize(("name", "depth"), [("vit_b_16", 12), ("vit_h_14", 32)])
def test_vision_transformers_are_isotropic(name: str, depth: int) -> None:
    expected = ["embed", *(f"blocks.{j}" for j in range(depth)), "norm", "head"]
    assert names(bare(name)) == names(bare(name), "stage") == expected


@pytest.mark.parametrize("name", ["ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "raft_small"])
def test_what_has_no_one_order_says_so_and_names_the_way_out(name: str) -> None:
    model = bare(name)
    with pytest.raises(ValueError, match='cannot tell the blocks of .*granularity="module"'):
        layers(model)
    assert len(layers(model, "module")) > 50


@pytest.mark.sweep
def test_every_architecture_is_mapped_or_says_why_not() -> None:
    without = [name for name in tv.list_models() if not _is_mapped(bare(name))]
    print(f"{len(tv.list_models()) - len(without)} of {len(tv.list_models())} mapped right; not: {without}")
    assert without == ["raft_large", "raft_small", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large"]


def test_a_head_of_ones_own_is_the_head_and_none_is_none() -> None:
    model = bare("resnet18")
    model.fc = nn.Sequential(nn.Dropout(), nn.Linear(512, 7))
    assert layers(model)[-1].path == "fc"
    model.fc = nn.Identity()
    assert "head" not in names(model)
    assert ADAPTER.logits(model, torch.ones(4, 512)) is None


def test_a_class_of_ones_own_derived_from_torchvisions_is_read_alike() -> None:
    class Mine(tv.ResNet):
        pass

    model = Mine(tv.resnet.BasicBlock, [1, 1, 1, 1])
    assert adapter_of(model).name == "torchvision"
    assert names(model) == ["stem", *(f"stages.{i}.blocks.0" for i in range(4)), "head"]


def test_a_model_that_was_rebuilt_beyond_recognition_says_so() -> None:
    model = bare("mobilenet_v2")
    model.features = nn.Sequential()
    with pytest.raises(ValueError, match="it is not built as torchvision's MobileNetV2"):
        layers(model)


@pytest.mark.parametrize("name", TWINS)
def test_timm_and_torchvision_give_one_architecture_the_same_names(name: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        twin = timm.create_model(TWINS[name])
    for granularity in ("stage", "block"):
        assert names(bare(name), granularity) == names(twin, granularity)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0", "mobilenet_v2", "vit"])
def test_with_the_same_weights_every_layer_gives_the_same(name: str) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    if name == "vit":
        small = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 64, "num_classes": 5}
        theirs = tv.VisionTransformer(image_size=32, patch_size=8, **small)
        nn.init.normal_(theirs.heads.head.weight)
        shape = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2, "num_classes": 5}
        ours = timm.models.VisionTransformer(**shape)
        state = vit_from_torchvision(theirs.state_dict(), ours.state_dict())
    else:
        theirs, ours = tv.get_model(name), timm.create_model(TWINS[name])
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
        state = same_order(theirs.state_dict(), ours.state_dict())
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 32, 32)
    one, other = activations(theirs, images), activations(ours, images)
    assert list(one) == list(other)
    if name == "densenet121":  # timm's last norm has the ReLU inside that torchvision applies after it
        one["norm"] = one["norm"].relu()
    for layer in one:
        x, y = one[layer].flatten(1), other[layer].flatten(1)
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5 * float(x.abs().max()))
