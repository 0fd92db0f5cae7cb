"""torchvision's models: their layers, the names they share with timm, weights, inputs and classes."""

from __future__ import annotations

import inspect
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models as tv

from cka_plugin.adapters import adapter_of, layers
from cka_plugin.adapters.base import first_tensor
from cka_plugin.adapters.torchvision import weights as weights_module
from cka_plugin.adapters.torchvision.adapter import TorchvisionAdapter
from cka_plugin.adapters.weights import load_checkpoint, read_state_dict

ADAPTER = TorchvisionAdapter()


def bare(name: str, **kwargs: Any) -> nn.Module:
    """An architecture without values: on the meta device where it can be built there."""
    if "weights_backbone" in inspect.signature(tv.get_model_builder(name)).parameters:
        kwargs["weights_backbone"] = None
    if name.removeprefix("quantized_") in ("googlenet", "inception_v3"):
        kwargs["init_weights"] = False
    if name.startswith("regnet"):  # counts its widths with tensors
        return tv.get_model(name, weights=None, **kwargs)
    with torch.device("meta"):
        return tv.get_model(name, weights=None, **kwargs)


def names(model: nn.Module, granularity: str = "block") -> list[str]:
    return [layer.name for layer in layers(model, granularity)]


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


# Layers


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


def _is_mapped(model: nn.Module) -> bool:
    try:
        found = layers(model)
    except ValueError:
        return False
    modules = dict(model.named_modules())
    return all(layer.path in modules for layer in found) and len({layer.name for layer in found}) == len(found)


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


def test_blocks_of_torchvision_in_a_network_of_ones_own_are_not_taken_for_a_model() -> None:
    model = nn.Sequential(*[tv.resnet.BasicBlock(8, 8) for _ in range(2)])
    assert adapter_of(model).name == "generic"
    assert names(model) == ["blocks.0", "blocks.1"]


def test_describing_says_the_family_and_the_number_of_blocks() -> None:
    assert ADAPTER.describe(bare("vgg11")) == "VGG as torchvision's VGG: 8 blocks in 5 stages"
    assert ADAPTER.describe(bare("vit_b_32")) == "VisionTransformer as torchvision's VisionTransformer: 12 blocks"


# The same names and activations as timm's


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


@pytest.mark.parametrize("name", TWINS)
def test_timm_and_torchvision_give_one_architecture_the_same_names(name: str) -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        twin = timm.create_model(TWINS[name])
    for granularity in ("stage", "block"):
        assert names(bare(name), granularity) == names(twin, granularity)


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


# Weights


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cache, and nobody answers."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights_module, "reachable", lambda url: False)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads answer with fresh weights, and print as torch.hub does."""
    urls: list[str] = []

    def download(url: str, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        print("Downloading:", url)
        urls.append(url)
        return tv.shufflenet_v2_x0_5().state_dict()

    monkeypatch.setattr(weights_module, "reachable", lambda url: True)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    return urls


def test_weights_that_cannot_be_reached_say_what_to_give_instead(offline: None) -> None:
    with pytest.raises(
        OSError, match=r"cannot reach the pretrained weights of 'resnet18'.*checkpoint=.*pretrained=False"
    ):
        ADAPTER.load("resnet18")


def test_a_download_that_fails_midway_says_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("connection reset")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights_module, "reachable", lambda url: True)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(OSError, match=r"cannot reach .*connection reset.*checkpoint="):
        ADAPTER.load("shufflenet_v2_x0_5")


def test_a_pretrained_model_knows_its_classes_and_its_transform(
    downloads: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = ADAPTER.load("shufflenet_v2_x0_5")
    assert downloads == [tv.ShuffleNet_V2_X0_5_Weights.DEFAULT.url]
    assert capsys.readouterr().out == ""  # what is printed there may be read by a machine
    classes = ADAPTER.class_names(model)
    assert classes is not None
    assert (len(classes), classes[0]) == (1000, "tench")
    model.fc = nn.Linear(model.fc.in_features, 10)
    assert ADAPTER.class_names(model) is None


def test_weights_are_chosen_by_name(downloads: list[str]) -> None:
    ADAPTER.load("shufflenet_v2_x0_5.IMAGENET1K_V1")
    ADAPTER.load("shufflenet_v2_x0_5", weights="ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1")
    ADAPTER.load("shufflenet_v2_x0_5", weights=tv.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1)
    assert len(downloads) == 3
    with pytest.raises(ValueError, match=r"no weights 'V9' for 'resnet50': it has IMAGENET1K_V1, IMAGENET1K_V2"):
        ADAPTER.load("resnet50.V9")


def test_an_architecture_without_weights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every architecture has some today, so an empty enumeration stands in for one that has none."""
    monkeypatch.setattr(tv, "get_model_weights", lambda name: tv.WeightsEnum("None_Weights", {}))
    with pytest.raises(OSError, match="no pretrained weights for 'resnet18'; give a local file with checkpoint="):
        ADAPTER.load("resnet18")


def test_a_detector_without_weights_downloads_no_backbone(offline: None) -> None:
    model = ADAPTER.load("lraspp_mobilenet_v3_large", pretrained=False)
    assert names(model)[-1] == "head"


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="torchvision has no model 'resnet81': did you mean resnet1"):
        ADAPTER.load("resnet81", pretrained=False)
    assert not ADAPTER.knows("resnet81")
    assert ADAPTER.knows("resnet18")
    assert ADAPTER.list_names("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]


# Local checkpoints


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_local_checkpoint_is_taken_out_of_what_wraps_it(wrap: str | None, prefix: str, tmp_path: Path) -> None:
    trained = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state: Any = {prefix + key: value for key, value in trained.state_dict().items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "weights.pth")
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_checkpoint(model, tmp_path / "weights.pth")
    assert torch.equal(model[0].weight, trained[0].weight)


def test_a_checkpoint_gives_its_weights_to_the_architecture(tmp_path: Path) -> None:
    trained = tv.squeezenet1_1(num_classes=3)
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    model = ADAPTER.load("squeezenet1_1", checkpoint=str(tmp_path / "weights.safetensors"), num_classes=3)
    assert all(torch.equal(x, y) for x, y in zip(model.parameters(), trained.parameters(), strict=True))
    assert ADAPTER.class_names(model) is None  # whose classes these are, the file does not say


def test_a_checkpoint_that_does_not_fit_lists_what_does_not(tmp_path: Path) -> None:
    state = tv.squeezenet1_1(num_classes=3).state_dict()
    state["extra"] = state.pop("features.0.bias")
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="does not fit SqueezeNet: ") as error:
        ADAPTER.load("squeezenet1_1", checkpoint=str(tmp_path / "weights.pth"))
    for part in (
        "1 missing (features.0.bias)",
        "1 unexpected (extra)",
        "classifier.1.weight (3, 512, 1, 1) for (1000,",
    ):
        assert part in str(error.value)


def test_a_checkpoint_with_code_in_it_is_not_unpickled(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(ValueError, match="cannot read a state dict from .*weights_only=True"):
        read_state_dict(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not weights"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_or_foreign_checkpoint_is_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read a state dict from .*broken{suffix}"):
        read_state_dict(path)


def test_a_file_without_tensors_is_no_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="holds no state dict"):
        read_state_dict(tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="no checkpoint file at"):
        read_state_dict(tmp_path / "absent.pth")


# Inputs


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


def test_images_are_prepared_by_the_transform_of_the_weights() -> None:
    preparation = ADAPTER.preparation(bare("shufflenet_v2_x0_5"))
    assert preparation is not None
    images = pictures((260, 300), (300, 240))
    prepared = preparation.collate(images)
    expected = tv.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()
    assert torch.equal(prepared, torch.stack([expected(image) for image in images]))
    assert torch.equal(preparation.collate(images[:1]), prepared[:1])
    assert "crop 224" in preparation.description
    assert "ShuffleNet_V2_X0_5_Weights" in preparation.description


@pytest.mark.parametrize(
    ("name", "crop"), [("resnet50", 224), ("efficientnet_b1", 240), ("inception_v3", 299), ("googlenet", 224)]
)
def test_an_untrained_model_gets_the_transform_of_its_architecture(name: str, crop: int) -> None:
    preparation = ADAPTER.preparation(bare(name, num_classes=7))
    assert preparation is not None
    assert preparation.collate(pictures((80, 90))).shape == (1, 3, crop, crop)


def test_models_with_the_same_transform_share_it() -> None:
    keys = [ADAPTER.preparation(bare(name)).key for name in ("resnet18", "densenet121", "swin_t")]
    assert keys[0] == keys[1] != keys[2]


def test_a_model_built_for_another_image_size_gets_that() -> None:
    preparation = ADAPTER.preparation(bare("vit_b_16", image_size=96))
    assert preparation is not None
    assert preparation.collate(pictures((80, 90))).shape == (1, 3, 96, 96)


def test_grey_images_become_colour_and_other_things_are_refused() -> None:
    preparation = ADAPTER.preparation(bare("resnet18"))
    assert preparation.collate([pictures((40, 40))[0].convert("L")]).shape == (1, 3, 224, 224)
    with pytest.raises(TypeError, match="takes PIL images; given str"):
        preparation.collate(["a cat"])


def test_segmentation_cuts_images_of_any_shape_to_one_size() -> None:
    preparation = ADAPTER.preparation(bare("fcn_resnet50"))
    assert preparation.collate(pictures((40, 60), (60, 40))).shape == (2, 3, 520, 520)


def test_a_detector_takes_images_as_they_are() -> None:
    model = ADAPTER.load("retinanet_resnet50_fpn", pretrained=False, min_size=64).eval()
    inputs = ADAPTER.preparation(model).collate(pictures((40, 60), (60, 40)))
    with torch.inference_mode():
        output = ADAPTER.forward(model, inputs)
    assert len(output) == 2
    assert ADAPTER.logits(model, output) is None


@pytest.mark.parametrize("model", ["video", "channels", "own"])
def test_where_the_model_does_not_say_there_is_no_preparation(model: str) -> None:
    made = {
        "video": lambda: bare("r3d_18"),
        "channels": lambda: _with_channels(bare("resnet18"), 1),
        "own": lambda: tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1]),
    }
    assert ADAPTER.preparation(made[model]()) is None


def _with_channels(model: nn.Module, channels: int) -> nn.Module:
    model.conv1 = nn.Conv2d(channels, 64, 7)
    return model
