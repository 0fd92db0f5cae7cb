"""What a raw value is: an image, a text, a sound; and its usual shapes brought to one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

PICTURES = ("uint8", "uint16")  # arrays of these, (h, w) or (h, w, channels), are pictures
RAW_KINDS = ("image", "text", "audio")


@dataclass(frozen=True)
class Spent:
    """In the place of a raw value that was prepared for all models, and is held no longer: a photograph is large.

    Attributes:
        kind: what it was.
    """

    kind: str


def is_image(value: Any) -> bool:
    """Whether this is a PIL image, told without importing PIL."""
    return hasattr(value, "getbands") and hasattr(value, "convert")


def is_picture(value: Any) -> bool:
    """Whether an array holds the pixels of one picture."""
    if not isinstance(value, np.ndarray) or value.dtype.name not in PICTURES:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))


def is_sound(value: Any) -> bool:
    """Whether this is a sound in one of its usual shapes: samples and their rate, or a decoder of torchcodec."""
    if isinstance(value, Mapping):
        return "array" in value and "sampling_rate" in value
    return hasattr(value, "get_all_samples")


def is_chat(value: Any) -> bool:
    """Whether this is one conversation: a list of messages, each with `role` and `content`."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(message, Mapping) and {"role", "content"} <= set(message) for message in value)
    )


def raw_value(value: Any) -> Any:
    """A raw value in its one shape: pictures as PIL images, sounds as (samples,) float32; None where it is none."""
    if isinstance(value, str) or is_image(value) or is_chat(value):
        return value
    if is_picture(value):
        return to_image(value)
    if is_sound(value):
        return to_sound(value)
    if isinstance(value, Mapping) and set(value) == {"bytes", "path"} and isinstance(value["bytes"], bytes):
        from PIL import Image

        return Image.open(io.BytesIO(value["bytes"]))
    return None


def to_image(pixels: np.ndarray[Any, Any]) -> Any:
    """An array of pixels as a PIL image; PIL has 16 bits for grey alone, colours of 16 bits are rounded to 8."""
    from PIL import Image

    pixels = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        pixels = np.round(pixels.astype(np.float32) / 257).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def to_sound(value: Any) -> Any:
    """Samples as one (length,) float32 array; several channels are averaged."""
    samples = value["array"] if isinstance(value, Mapping) else value.get_all_samples().data
    samples = np.asarray(samples.numpy() if isinstance(samples, Tensor) else samples, dtype=np.float32)
    return samples.mean(axis=0) if samples.ndim == 2 else samples


def kind_of(values: Sequence[Any]) -> str:
    """The kind of a list of values, by the first that is not missing."""
    value = next((value for value in values if value is not None), None)
    if value is None:
        return "missing"
    if isinstance(value, Spent):
        return value.kind
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, str) or is_chat(value):
        return "text"
    if is_image(value):
        return "image"
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return "audio"
    return "other"
