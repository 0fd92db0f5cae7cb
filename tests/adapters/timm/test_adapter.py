"""The timm adapter: ownership, names, layers against published depths and timm's own intermediates, weights, inputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from cka_plugin.adapters import hub
from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import Layer, first_tensor
from cka_plugin.adapters.timm.adapter import TimmAdapter
from tests.sweeps.test_timm import mapped_count

timm = pytest.importorskip("timm")

ADAPTER = TimmAdapter()
SIZE = 64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bare(name: str, **model_kwargs: Any) -> nn.Module:
    """An architecture without values."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **model_kwargs).eval()


def real(name: str, **model_kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, **model_kwargs).eval()


def names(model: nn.Module, granularity: str = "block") -> list[str]:
    return [layer.name for layer in ADAPTER.layers(model, granularity)]


def captured(model: nn.Module, x: Any, granularity: str = "block") -> tuple[dict[str, Tensor], Any]:
    """The output of every layer, by name, and what the model returns."""
    outputs: dict[str, Tensor] = {}
    handles = []
    for layer in ADAPTER.layers(model, granularity):

        def keep(module: nn.Module, args: Any, output: Any, layer: Layer = layer) -> None:
            found = first_tensor(ADAPTER.activation(model, layer, output))
            assert found is not None
            outputs[layer.name] = found.clone()

        handles.append(model.get_submodule(layer.path).register_forward_hook(keep))
    with torch.inference_mode():
        returned = ADAPTER.forward(model, x)
    for handle in handles:
        handle.remove()
    return outputs, returned


# Whose models ---------------------------------------------------------------------------------------------------------


def test_timm_is_not_imported_to_say_that_a_model_is_not_its() -> None:
    code = (
        "import sys; from torch import nn; from cka_plugin.adapters.timm.adapter import TimmAdapter; "
        "assert not TimmAdapter().owns(nn.Linear(2, 2)); assert 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_owns_models_of_timm_and_of_classes_made_from_them_but_not_its_blocks_alone() -> None:
    class Mine(timm.models.ResNet):
        pass

    model = bare("test_resnet")
    mine = Mine(timm.models.resnet.BasicBlock, [1, 1, 1, 1])
    assert ADAPTER.owns(model)
    assert ADAPTER.owns(mine)
    assert names(mine)[:2] == ["stem", "stages.0.blocks.0"]
    assert not ADAPTER.owns(model.layer1[0])
    assert not ADAPTER.owns(nn.Sequential(model))
    assert adapters.adapter_of(torch.nn.DataParallel(model)).name == "timm"


def test_knows_architectures_with_and_without_the_tag_of_their_weights() -> None:
    assert ADAPTER.knows("resnet50")
    assert ADAPTER.knows("resnet50.a1_in1k")
    assert not ADAPTER.knows("bert-base-uncased")
    assert not ADAPTER.knows("google/vit-base-patch16-224")


def test_names_are_listed_by_pattern_and_with_tags_where_it_has_a_dot() -> None:
    assert ADAPTER.list_names("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert "resnet50.a1_in1k" in ADAPTER.list_names("resnet50.*")
    assert len(ADAPTER.list_names()) == len(timm.list_models())


# Layers ---------------------------------------------------------------------------------------------------------------


def test_an_isotropic_network_has_embed_blocks_norm_and_head() -> None:
    model = bare("vit_tiny_patch16_224", depth=3)
    assert names(model) == ["embed", "blocks.0", "blocks.1", "blocks.2", "norm", "head"]
    assert names(model, "stage") == names(model)


def test_a_staged_network_has_stem_stages_and_head() -> None:
    model = bare("resnet18")
    assert names(model, "stage") == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]
    assert names(model)[:4] == ["stem", "stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0"]
    assert [layer.path for layer in ADAPTER.layers(model)][:3] == ["maxpool", "layer1.0", "layer1.1"]


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


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_blocks_are_as_many_as_the_paper_of_the_architecture_says(architecture: str) -> None:
    assert mapped_count(ADAPTER.layers(bare(architecture))) == PUBLISHED[architecture]


STAGED = ["test_resnet", "test_convnext", "test_mambaout", "regnetx_002", "pvt_v2_b0", "starnet_s050", "levit_128s"]


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


def sorted_values(x: Tensor) -> Tensor:
    """The values of each example in order, whatever the layout: maps, tokens, channels last."""
    return x.flatten(1).sort().values


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


def test_describe_says_in_a_sentence_what_was_found_and_where_it_was_read() -> None:
    assert ADAPTER.describe(bare("resnet18")) == (
        "ResNet of timm: 8 blocks in 4 stages, read from timm's group_matcher, stem is maxpool, head is fc"
    )


# NaFlexViT ------------------------------------------------------------------------------------------------------------


def test_naflexvit_takes_its_dict_of_patches_and_its_padding_is_masked() -> None:
    model = real("naflexvit_base_patch16_gap", embed_dim=32, num_heads=2, depth=2, num_classes=5)
    n, patches = 2, 9
    coordinates = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij"), -1).reshape(patches, 2)
    valid = torch.ones(n, patches, dtype=torch.bool)
    valid[1, 6:] = False
    inputs = {
        "patches": torch.randn(n, patches, 16 * 16 * 3),
        "patch_coord": coordinates.repeat(n, 1, 1),
        "patch_valid": valid,
    }
    outputs, logits = captured(model, inputs)
    block = ADAPTER.layers(model)[1]
    length = outputs[block.name].shape[1]
    mask = ADAPTER.mask(model, block, inputs, length)
    assert logits.shape == (n, 5)
    assert mask.shape == (n, length)
    assert mask.sum(1).tolist() == [length, length - 3]  # register tokens first, then patches
    assert torch.equal(mask[:, length - patches :], valid)
    assert ADAPTER.mask(model, block, torch.zeros(n, 3, SIZE, SIZE), length) is None


# Weights --------------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_an_error_with_the_nearest_ones() -> None:
    with pytest.raises(ValueError, match=r"no model 'resnet188': did you mean resnet18\b"):
        ADAPTER.load("resnet188")


def test_an_unknown_tag_is_an_error_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no weights 'nope' of 'resnet18': it has a1_in1k"):
        ADAPTER.load("resnet18.nope")


def test_an_unreachable_hub_is_an_error_at_once_that_says_how_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda url: False)
    with pytest.raises(OSError, match=r"'test_resnet'.*checkpoint=.*pretrained=False"):
        ADAPTER.load("test_resnet", cache_dir=tmp_path)
    assert constants.HF_HUB_OFFLINE is False


def test_weights_that_do_not_exist_are_an_error_that_says_how_to_do_without() -> None:
    with pytest.raises(OSError, match=r"no pretrained weights for 'starnet_s050'.*pretrained=False"):
        ADAPTER.load("starnet_s050")


def test_what_create_model_takes_passes_through() -> None:
    model = ADAPTER.load("test_vit", pretrained=False, num_classes=3, img_size=SIZE, depth=2)
    assert names(model) == ["embed", "blocks.0", "blocks.1", "norm", "head"]
    assert model(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, 3)


@pytest.fixture
def trained() -> nn.Module:
    return real("test_resnet", num_classes=3)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "training", "data parallel"])
def test_a_local_checkpoint_is_loaded_whatever_it_is_wrapped_in(kind: str, trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(trained.state_dict(), path)
    elif kind == "pth":
        torch.save(trained.state_dict(), path)
    elif kind == "training":
        torch.save({"epoch": 3, "state_dict": trained.state_dict()}, path)
    else:
        torch.save(nn.DataParallel(trained).state_dict(), path)
    loaded = ADAPTER.load("test_resnet", checkpoint=str(path), num_classes=3)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, trained.state_dict()[key])


def test_a_checkpoint_that_does_not_fit_is_reported_key_by_key(trained: nn.Module, tmp_path: Path) -> None:
    state = trained.state_dict()
    del state["layer1.0.bn1.weight"]
    state["more.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="does not fit test_resnet") as caught:
        ADAPTER.load("test_resnet", checkpoint=str(tmp_path / "weights.safetensors"))
    message = str(caught.value)
    assert "1 missing (layer1.0.bn1.weight)" in message
    assert "1 unexpected (more.weight)" in message
    assert "2 of another shape (fc.weight (3, 96) for (1000, 96), fc.bias (3,) for (1000,))" in message
    assert "num_classes" in message


def test_a_checkpoint_of_another_image_size_is_resampled_by_timms_own_filter(tmp_path: Path) -> None:
    torch.save(real("test_vit").state_dict(), tmp_path / "weights.pth")
    loaded = ADAPTER.load("test_vit", checkpoint=str(tmp_path / "weights.pth"), img_size=SIZE)
    assert loaded.pos_embed.shape[1] == real("test_vit", img_size=SIZE).pos_embed.shape[1]


class Code:
    def __reduce__(self) -> Any:
        return (print, ("ran",))


def test_a_checkpoint_with_code_a_truncated_one_and_a_missing_one_are_clear_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"weight": Code()}, tmp_path / "code.pth")
    save_file({"weight": torch.zeros(100)}, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:200])
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("code.pth", "cut.safetensors", "list.pth"):
        with pytest.raises(ValueError, match=name):
            ADAPTER.load("test_resnet", checkpoint=str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        ADAPTER.load("test_resnet", checkpoint=str(tmp_path / "none.pth"))
    assert "ran" not in capsys.readouterr().out


# Inputs ---------------------------------------------------------------------------------------------------------------


def picture(mode: str = "RGB", size: tuple[int, int] = (90, 70)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def test_images_are_prepared_as_timm_prepares_them() -> None:
    model = bare("test_vit")
    preparation = ADAPTER.preparation(model)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    assert preparation.kinds == ("image",)
    assert torch.equal(preparation.collate([picture(), picture()])[1], transform(picture()))
    assert torch.equal(preparation.collate([picture()]), preparation.collate([picture(), picture()])[:1])
    assert "RGB 160" in preparation.description


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_images_of_any_mode_become_the_models_channels(mode: str) -> None:
    assert ADAPTER.preparation(bare("test_resnet")).collate([picture(mode)]).shape == (1, 3, 160, 160)


def test_a_model_of_one_channel_gets_grey_images_and_one_mean() -> None:
    prepared = ADAPTER.preparation(bare("test_resnet", in_chans=1)).collate([picture()])
    assert prepared.shape == (1, 1, 160, 160)
    grey = np.full((160, 160), 255, dtype=np.uint8)
    white = ADAPTER.preparation(bare("test_vit", in_chans=1)).collate([Image.fromarray(grey)])
    assert torch.allclose(white, torch.ones(1))  # (1 - 0.5) / 0.5


def test_a_model_built_for_another_image_size_gets_that() -> None:
    model = bare("test_vit", img_size=SIZE)
    prepared = ADAPTER.preparation(model).collate([picture()])
    assert prepared.shape == (1, 3, SIZE, SIZE)
    assert real("test_vit", img_size=SIZE)(prepared).shape == (1, 1000)


def test_preparations_are_one_where_the_transforms_are() -> None:
    keys = {name: ADAPTER.preparation(bare(name)).key for name in ("test_vit", "test_vit2", "resnet18")}
    assert keys["test_vit"] == keys["test_vit2"] != keys["resnet18"]


def test_other_channels_than_an_image_has_cannot_be_prepared_and_other_examples_are_refused() -> None:
    assert ADAPTER.preparation(bare("test_resnet", in_chans=5)) is None
    with pytest.raises(TypeError, match="PIL images; given str"):
        ADAPTER.preparation(bare("test_resnet")).collate(["a text"])


# Class names ----------------------------------------------------------------------------------------------------------


def test_class_names_are_imagenets_only_where_the_weights_end_in_its_thousand() -> None:
    found = ADAPTER.class_names(bare("resnet18.a1_in1k"))
    assert found[0] == "tench, Tinca tinca"
    assert len(found) == len(set(found)) == 1000
    assert ADAPTER.class_names(bare("resnet18.a1_in1k", num_classes=10)) is None
    assert ADAPTER.class_names(bare("convnext_tiny.fb_in22k")) is None
    assert ADAPTER.class_names(bare("mixer_s32_224")) is None  # a thousand classes, and nothing says which


def test_class_names_of_the_configuration_go_first() -> None:
    cfg = {"num_classes": 2, "label_names": ["n1", "n2"], "label_descriptions": {"n1": "cat", "n2": "dog"}}
    assert ADAPTER.class_names(bare("test_resnet", num_classes=2, pretrained_cfg_overlay=cfg)) == ["cat", "dog"]
