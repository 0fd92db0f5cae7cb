"""Examples as the page shows them: small pictures, the beginning of a text, or nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cka_plugin.adapters.base import first_tensor
from cka_plugin.wording import for_terminal

SIDE = 72  # pixels of the longer side
MOST = 1500  # pictures in a page: some 3 MB
SMALL = 2000  # bytes of a PNG that need not become a JPEG
TEXT = 280  # characters
_CHANNELS = (1, 3, 4)


def picture_of(example: Any) -> dict[str, str] | None:
    """A picture or text of one example; None where it is neither.

    A tensor of (channels, height, width) or (height, width) is shown in grey or colour, stretched from its own lowest
    to its highest value.

    Example:
        >>> picture_of("a text"), picture_of(3.0)
        ({'text': 'a text'}, None)
    """
    if isinstance(example, str):
        return {"text": for_terminal(example if len(example) <= TEXT else example[:TEXT] + " ...", lines=True)}
    if hasattr(example, "getbands"):
        return {"image": _embedded(example)}
    if isinstance(example, Mapping | tuple | list):
        parts = list(example.values()) if isinstance(example, Mapping) else list(example)
        shown = [made for part in parts if (made := picture_of(part)) is not None]
        images = [one for one in shown if "image" in one]
        if images:
            return images[0]
        texts = [one["text"] for one in shown]
        return {"text": " | ".join(texts)} if texts else None
    return _of_numbers(first_tensor(example) if not isinstance(example, np.ndarray) else torch.from_numpy(example))


def chosen(wanted: Iterable[Sequence[int]], most: int = MOST) -> list[int]:
    """Which examples to show, where there are many lists of those that could be: the first of every list first.

    Example:
        >>> chosen([[1, 2, 3], [4, 2]], most=3)
        [1, 4, 2]
    """
    lists = [list(one) for one in wanted]
    found: dict[int, None] = {}
    for rank in range(max(map(len, lists), default=0)):
        for one in lists:
            if rank < len(one) and len(found) < most:
                found.setdefault(one[rank])
    return list(found)


def _of_numbers(tensor: torch.Tensor | None) -> dict[str, str] | None:
    from PIL import Image

    if tensor is None or tensor.is_complex():
        return None
    numbers = tensor.detach().cpu().float().numpy()
    if numbers.ndim == 3 and numbers.shape[0] in _CHANNELS:
        numbers = np.moveaxis(numbers, 0, -1)
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    seen = numbers.ndim == 2 or (numbers.ndim == 3 and numbers.shape[2] in _CHANNELS)
    if not seen or min(numbers.shape[:2]) < 4 or not np.isfinite(numbers).all():
        return None
    numbers = numbers[:, :, :3] if numbers.ndim == 3 else numbers
    low, high = float(numbers.min()), float(numbers.max())
    return {"image": _embedded(Image.fromarray(np.uint8(255 * (numbers - low) / (high - low or 1.0))))}


def _embedded(image: Any) -> str:
    """A picture as a data URI: PNG where that is small (drawings, digits), else JPEG."""
    image = image.convert("L" if image.mode in ("1", "L") else "I" if image.mode.startswith("I") else "RGB")
    if image.mode == "I":  # 16 bits of grey
        pixels = np.asarray(image, dtype=np.float64)
        return _embedded(_grey(pixels / max(257.0, pixels.max() / 255)))
    image.thumbnail((SIDE, SIDE))
    content = _saved(image, "png", optimize=True)
    kind = "png" if len(content) <= SMALL else "jpeg"
    content = content if kind == "png" else _saved(image, "jpeg", quality=72, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def _grey(pixels: np.ndarray[Any, Any]) -> Any:
    from PIL import Image

    return Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))
