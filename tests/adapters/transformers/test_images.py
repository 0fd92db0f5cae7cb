"""Raw images to pixel values, in the size, mode and precision of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from PIL import Image

from cka_plugin.adapters.transformers.inputs import forward, mask, preparation
from tests.support.small_transformers import (
    SMALL,
    block,
    built,
    clip_config,
    photos,
    saved,
)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_images_of_any_mode_become_inputs(mode: str) -> None:
    model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
    images = [Image.new("I;16", (50, 40), 4000)] * 2 if mode == "I;16" else photos(mode=mode)
    inputs = preparation(model).collate(images)
    assert inputs.shape == (2, 3, 32, 32)
    with torch.inference_mode():
        assert forward(model, inputs).last_hidden_state.shape == (2, 17, 16)


def test_mean_and_std_are_those_of_the_type() -> None:
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    vit = preparation(built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)))
    torch.testing.assert_close(vit.collate([grey]), torch.full((1, 3, 32, 32), (128 / 255 - 0.5) / 0.5))
    clip = preparation(built(clip_config().vision_config, hf.CLIPVisionModel))
    expected = (128 / 255 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / torch.tensor(
        [0.26862954, 0.26130258, 0.27577711]
    )
    torch.testing.assert_close(clip.collate([grey])[0, :, 0, 0], expected)


def test_one_channel_gets_grey_images() -> None:
    model = built(hf.ViTConfig(image_size=8, patch_size=2, num_channels=1, **SMALL))
    inputs = preparation(model).collate(photos())
    assert inputs.shape == (2, 1, 8, 8)
    with torch.inference_mode():
        forward(model, inputs)


def test_a_folder_decides_over_the_defaults(tmp_path: Path) -> None:
    model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
    own = hf.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0, 0, 0], image_std=[1, 1, 1])
    prepared = preparation(saved(model, tmp_path, own))
    assert prepared.collate([Image.new("RGB", (9, 9), (255, 255, 255))]).unique().tolist() == [1.0]
    assert prepared.key != preparation(built(model.config)).key


def test_each_image_is_one_row() -> None:
    prepared = preparation(built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL)))
    images = photos(3)
    assert torch.equal(prepared.collate(images), torch.cat([prepared.collate([i]) for i in images]))


def test_image_layers_have_no_mask() -> None:
    model = built(hf.ViTConfig(image_size=32, patch_size=8, **SMALL))
    assert mask(model, block(model), preparation(model).collate(photos()), 17) is None
