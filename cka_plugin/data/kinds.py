"""What kind of raw example something is."""

from __future__ import annotations

from typing import Any

import numpy as np


def kinds_of(example: Any) -> tuple[str, ...]:
    """What kind of raw example this is; several for a tuple of them.

    Raises:
        TypeError: it is none that a model could be given.
    """
    if isinstance(example, tuple | list) and example and not isinstance(example[0], int | float):
        return tuple(kind for part in example for kind in kinds_of(part))
    if isinstance(example, str):
        return ("text",)
    if isinstance(example, np.ndarray) and example.ndim == 1:
        return ("audio",)
    if is_image(example) or (isinstance(example, np.ndarray) and example.dtype == np.uint8 and example.ndim in (2, 3)):
        return ("image",)
    raise TypeError(f"an example of type {type(example).__name__} is no image, text, sound or tensor")


def is_image(example: Any) -> bool:
    return hasattr(example, "getbands") and hasattr(example, "convert")  # PIL, without importing it


def as_image(example: Any) -> Any:
    """uint8 arrays to PIL images, also within tuples; everything else as it is."""
    if isinstance(example, tuple | list) and example and not isinstance(example[0], int | float):
        return tuple(as_image(part) for part in example)
    if isinstance(example, np.ndarray) and example.dtype == np.uint8 and example.ndim in (2, 3):
        from PIL import Image

        return Image.fromarray(example.squeeze(-1) if example.ndim == 3 and example.shape[2] == 1 else example)
    return example
