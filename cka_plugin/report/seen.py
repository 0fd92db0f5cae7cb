"""What can be seen of an example: an image, a text, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cka_plugin.adapters.base import first_tensor
from cka_plugin.wording import for_terminal

if TYPE_CHECKING:
    from PIL.Image import Image

TEXT = 280  # characters
_CHANNELS = (1, 3, 4)


def seen(example: Any, side: int) -> Image | str | None:
    """An image of one example in grey or colour, the beginning of its text, or None where it is neither.

    A tensor of (channels, height, width) or (height, width) is an image, stretched from its own lowest to its highest
    value; of several members the first image, else all texts.

    Args:
        example: as it is in the data.
        side: pixels of the longer side of an image, at most.

    Example:
        >>> seen("a text", 72), seen(3.0, 72), seen((torch.zeros(3, 8, 200), 5), 72).size
        ('a text', None, (72, 3))
    """
    if isinstance(example, str):
        return for_terminal(example if len(example) <= TEXT else example[:TEXT] + " ...", lines=True)
    if hasattr(example, "getbands"):
        return _small(example, side)
    if isinstance(example, Mapping | tuple | list):
        parts = list(example.values()) if isinstance(example, Mapping) else list(example)
        shown = [made for part in parts if (made := seen(part, side)) is not None]
        texts = [one for one in shown if isinstance(one, str)]
        image = next((one for one in shown if not isinstance(one, str)), None)
        return image if image is not None else " | ".join(texts) or None
    numbers = torch.from_numpy(example) if isinstance(example, np.ndarray) else first_tensor(example)
    return _of_numbers(numbers, side)


def _of_numbers(tensor: torch.Tensor | None, side: int) -> Image | None:
    from PIL import Image

    if tensor is None or tensor.is_complex():
        return None
    numbers = tensor.detach().cpu().float().numpy()
    if numbers.ndim == 3 and numbers.shape[0] in _CHANNELS:
        numbers = np.moveaxis(numbers, 0, -1)
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    fits = numbers.ndim == 2 or (numbers.ndim == 3 and numbers.shape[2] in _CHANNELS)
    if not fits or min(numbers.shape[:2]) < 4 or not np.isfinite(numbers).all():
        return None
    numbers = numbers[:, :, :3] if numbers.ndim == 3 else numbers
    low, high = float(numbers.min()), float(numbers.max())
    return _small(Image.fromarray(np.uint8(255 * (numbers - low) / (high - low or 1.0))), side)


def _small(image: Any, side: int) -> Image:
    from PIL import Image

    image = image.convert("L" if image.mode in ("1", "L") else "I" if image.mode.startswith("I") else "RGB")
    if image.mode == "I":  # 16 bits of grey
        pixels = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(np.uint8(np.clip(pixels / max(257.0, pixels.max() / 255), 0, 255)))
    image.thumbnail((side, side))
    return image
