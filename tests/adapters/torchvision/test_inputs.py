"""Raw images to the inputs of a torchvision model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models as tv

from tests.support.torchvision_models import (
    ADAPTER,
    bare,
)


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


def _with_channels(model: nn.Module, channels: int) -> nn.Module:
    model.conv1 = nn.Conv2d(channels, 64, 7)
    return model


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
