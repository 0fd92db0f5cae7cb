"""Raw pictures as every framework's transforms take them: upright, of 8 bits, in grey or colour.

One reading for all adapters, so that two models of different frameworks see the same picture. Pillow's own `convert`
clips values above 255 to white (issues 2574, 5991 and 1108 of Pillow) and leaves a photograph as the camera lay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cka_plugin.adapters.steps import Step
from cka_plugin.warnings import warn

ORIENTATION = 0x0112  # the EXIF tag
DESCRIBED = "turned upright as EXIF says"
_STEP = 257  # between two values of 8 bits, in 16: 65535 / 255


def picture(image: Any, mode: str = "RGB") -> Any:
    """A raw picture as a PIL image of 8 bits.

    Args:
        image: a PIL image of any mode, or an array (height, width) or (height, width, channels) of 1, 3 or 4 channels,
            of uint8, uint16 or bool. Pictures of 16 bits (`I;16`, `I`) are scaled to 8. Made ones of mode `I` without a
            value above 255 are taken for 8 bits; those of floating values (`F`) are read in [0, 1], else in [0, 255],
            else in [0, 65535], whichever holds them.
        mode: `RGB`, or `L` for grey.

    Raises:
        TypeError: something else.
        ValueError: values beyond 16 bits, or negative ones: nobody says what is white.

    Example:
        >>> grey = np.full((4, 4), 128 * 257, np.uint16)
        >>> picture(grey).getpixel((0, 0))
        (128, 128, 128)
    """
    from PIL import Image, ImageOps

    if isinstance(image, np.ndarray):
        image = Image.fromarray(_eight_bits_of_array(image))
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"a model of images takes PIL images; given {type(image).__name__} (arrays must be of uint8 or uint16)"
        )
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image), image))
    elif image.mode in ("PA", "RGBa", "La") or (image.mode == "P" and "transparency" in image.info):
        image = image.convert("LA" if image.mode == "La" else "RGBA")  # which Pillow brings to every other mode
    return image if image.mode == mode else image.convert(mode)


def picture_step(mode: str = "RGB") -> Step:
    """The first step of every preparation of pictures, done once for all models that see them in one mode."""
    return Step(f"picture {mode}", lambda image: picture(image, mode))


def input_dtype(model: nn.Module) -> torch.dtype:
    """The precision in which a model takes its inputs: that of its first floating parameter.

    Example:
        >>> input_dtype(nn.Linear(2, 2).half()), input_dtype(nn.ReLU())
        (torch.float16, torch.float32)
    """
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def _eight_bits_of_array(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shape, dtype = array.shape, array.dtype
    if len(shape) == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (3, 4)):
        raise TypeError(f"an array must be a picture (height, width) or (height, width, channels); given shape {shape}")
    if dtype == np.uint16:
        return _scaled(array)
    if dtype not in (np.uint8, np.bool_):
        raise TypeError(f"an array must be a picture of uint8 or uint16; given {dtype}: give tensors instead")
    return array


def _eight_bits(values: npt.NDArray[Any], image: Any) -> npt.NDArray[np.uint8]:
    """The values of a PIL image of 16 or 32 bits, integer or floating, brought to 8."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= 65535):  # NaN too
        raise ValueError(
            f"an image of mode {image.mode} holds values from {low:g} to {high:g}: expected 0 to 65535 (16 bits); "
            "bring it to 8 or 16 bits first, or give a function that does with transforms="
        )
    if values.dtype.kind == "f" and high <= 255:
        return np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    if image.mode == "I" and image.format is None and 0 < high <= 255:
        warn(
            f"an image of mode I holds no value above {high:g}; it was read as one of 8 bits, as in 16 bits that is "
            "nearly black: convert images to L or I;16 where that is not meant"
        )
        return values.astype(np.uint8)
    return _scaled(values)


def _scaled(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return ((values.astype(np.int64) + _STEP // 2) // _STEP).astype(np.uint8)


__all__ = ["DESCRIBED", "input_dtype", "picture", "picture_step"]
