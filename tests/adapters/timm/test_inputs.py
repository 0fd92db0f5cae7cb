"""Raw images to the inputs of a timm model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.timm_models import (
    ADAPTER,
    SIZE,
    bare,
    real,
    timm,
)


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
