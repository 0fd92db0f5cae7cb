"""timm's models behind the common interface: whose they are, their names, what is said of them, their classes."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import nn

from cka_plugin.adapters import registry as adapters
from tests.support.timm_models import (
    ADAPTER,
    SIZE,
    bare,
    captured,
    names,
    real,
    timm,
)


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


def test_describe_says_in_a_sentence_what_was_found_and_where_it_was_read() -> None:
    assert ADAPTER.describe(bare("resnet18")) == (
        "ResNet of timm: 8 blocks in 4 stages, read from timm's group_matcher, stem is maxpool, head is fc"
    )


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
