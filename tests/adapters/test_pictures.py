"""One reading of raw pictures for all frameworks: upright, of 8 bits, in grey or colour."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cka_plugin as cka
from cka_plugin.adapters.base import Adapter, Preparation
from cka_plugin.adapters.pictures import ORIENTATION, input_dtype, picture
from cka_plugin.adapters.registry import adapter_of

GREYS = np.kron(np.array([[0, 1, 128, 255], [7, 77, 177, 254]], np.uint8), np.ones((16, 8), np.uint8))


def timm_model() -> nn.Module:
    return pytest.importorskip("timm").create_model("test_resnet")


def torchvision_model() -> nn.Module:
    return pytest.importorskip("torchvision").models.shufflenet_v2_x0_5()


def transformers_model() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=8, **sizes))


def own_model() -> nn.Module:
    return nn.Sequential(timm_model(), nn.Linear(1000, 3))


MODELS = [timm_model, torchvision_model, transformers_model, own_model]


def prepared(model: nn.Module) -> Preparation:
    adapter: Adapter = adapter_of(model)
    found = adapter.preparation(model)
    assert found is not None
    return found


def read(array: np.ndarray, form: str) -> Image.Image:
    """A picture written to a file and read again."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return Image.open(io.BytesIO(file.getvalue()))


# Sixteen bits

SIXTEEN: dict[str, Any] = {
    "a PNG": lambda: read(GREYS.astype(np.uint16) * 257, "PNG"),
    "a TIFF": lambda: read(GREYS.astype(np.uint16) * 257, "TIFF"),
    "I;16": lambda: Image.fromarray(GREYS.astype(np.uint16) * 257),
    "I;16B": lambda: Image.frombytes("I;16B", GREYS.shape[::-1], (GREYS.astype(">u2") * 257).tobytes()),
    "I": lambda: Image.fromarray(GREYS.astype(np.int32) * 257),
    "F of 16 bits": lambda: Image.fromarray(GREYS.astype(np.float32) * 257),
    "F of 8 bits": lambda: Image.fromarray(GREYS.astype(np.float32)),
    "F of shares": lambda: Image.fromarray(GREYS.astype(np.float32) / 255),
    "a grey array": lambda: GREYS.astype(np.uint16) * 257,
    "a colour array": lambda: np.repeat(GREYS[..., None], 3, 2).astype(np.uint16) * 257,
    "an array of 8 bits": lambda: GREYS[..., None],
}


@pytest.mark.parametrize("kind", SIXTEEN)
@pytest.mark.parametrize("model", MODELS)
def test_a_picture_is_the_same_in_any_depth(model: Any, kind: str) -> None:
    collate = prepared(model()).collate
    assert torch.equal(collate([SIXTEEN[kind]()]), collate([Image.fromarray(GREYS)]))  # type: ignore[arg-type]


def test_sixteen_bits_keep_their_greys() -> None:
    image = Image.fromarray(np.array([[0, 256, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(picture(image))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    "array", [np.array([[70000]], np.int32), np.array([[-1]], np.int32), np.full((1, 1), np.nan, "f")]
)
def test_values_of_which_nobody_says_what_is_white_are_an_error(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 0 to 65535"):
        picture(Image.fromarray(array))


def test_small_values_in_a_wide_mode_are_said_to_be_read_as_eight_bits() -> None:
    with pytest.warns(cka.CKAWarning, match="read as one of 8 bits"):
        image = picture(Image.fromarray(GREYS.astype(np.int32)))
    assert np.array_equal(np.asarray(image)[..., 0], GREYS)


@pytest.mark.parametrize(
    "given", [np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4)), "a.png", torch.zeros(3, 4, 4)]
)
def test_what_is_no_picture_is_an_error(given: Any) -> None:
    with pytest.raises(TypeError, match="must be"):
        picture(given)


# Modes


@pytest.mark.parametrize("mode", ["1", "P", "LA", "PA", "La", "RGBA", "RGBa", "CMYK", "RGBX"])
@pytest.mark.parametrize("model", MODELS)
def test_every_mode_is_brought_to_the_models_channels(model: Any, mode: str) -> None:
    image = Image.new("RGBA", (40, 30), (200, 30, 30, 255))
    if mode in ("PA", "La"):
        image = image.convert("P" if mode == "PA" else "LA").convert(mode)
    else:
        image = image.convert("RGB" if mode in ("1", "P", "CMYK", "RGBX") else "RGBA").convert(mode)
    assert image.mode == mode
    collate = prepared(model()).collate
    assert torch.equal(collate([image]), collate([picture(image)]))  # type: ignore[arg-type]
    assert picture(image).mode == "RGB"


# Orientation


def turned(orientation: int) -> Image.Image:
    """A photograph of a camera that lay on its side, as it comes out of the file."""
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8))
    undo = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = upright if undo[orientation] is None else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("model", MODELS)
def test_photographs_are_turned_upright_and_it_is_said(model: Any, orientation: int) -> None:
    preparation = prepared(model())
    assert torch.equal(preparation.collate([turned(orientation)]), preparation.collate([turned(1)]))  # type: ignore[arg-type]
    assert "upright" in preparation.description


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("model", MODELS)
def test_inputs_have_the_models_precision(model: Any, dtype: torch.dtype) -> None:
    whole, other = model(), model().to(dtype)
    inputs = prepared(other).collate([Image.fromarray(GREYS)])
    assert isinstance(inputs, torch.Tensor)
    assert inputs.dtype == dtype == input_dtype(other)
    assert prepared(other).key != prepared(whole).key


def test_a_folder_of_sixteen_bits_is_that_of_eight(tmp_path: Path) -> None:
    for bits in (8, 16):
        (tmp_path / str(bits)).mkdir()
        for i in range(12):
            grey = np.random.default_rng(i).integers(0, 256, (20, 20))
            stored = grey.astype(np.uint8) if bits == 8 else (grey * 257).astype(np.uint16)
            Image.fromarray(stored).save(tmp_path / str(bits) / f"{i:02d}.png")
    model = own_model().half()
    eight, sixteen = (cka.represent(model, tmp_path / bits, batch_size=6, progress=False) for bits in ("8", "16"))
    values = cka.compare({"8": eight, "16": sixteen}, match="ids", progress=False).matrix("8", "16").diagonal()
    assert np.allclose(values, 1, atol=1e-6)
