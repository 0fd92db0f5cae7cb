"""The task of the study: from which of 14 photographs was this crop cut? Photographs come with scikit-image.

Training crops are cut from the left 70% of each photograph, test crops from the rest: no pixel is in both. A crop is a
square twice as wide as it is shown, at a random place, scaled down by bicubic interpolation.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from cka_plugin.sample.images import PHOTOGRAPHS

CLASSES = list(PHOTOGRAPHS)
LEFT = 0.7
MEAN, STD = 0.45, 0.25  # of all pixels, about


def crops(split: str, n: int, size: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """n crops as (n, 3, size, size) float32 tensors, and (n,) the photograph of each; classes take turns.

    Args:
        split: `train` or `test`.
        n: number of crops.
        size: height and width.
        seed: of the places.
    """
    sources = []
    for name, file in PHOTOGRAPHS.items():
        with Image.open(str(files("skimage") / "data" / file)) as opened:
            picture = opened.convert("RGB")
        edge = int(LEFT * picture.width)
        box = (0, 0, edge, picture.height) if split == "train" else (edge, 0, picture.width, picture.height)
        sources.append((name, picture.crop(box)))
    rng = np.random.default_rng([seed, split == "train"])
    pixels = np.empty((n, size, size, 3), dtype=np.uint8)
    for position in range(n):
        _, picture = sources[position % len(sources)]
        side = min(2 * size, picture.width, picture.height)
        left, top = (int(rng.integers(0, length - side, endpoint=True)) for length in picture.size)
        box = (left, top, left + side, top + side)
        pixels[position] = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC, box=box))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(MEAN).div(STD)
    return x.contiguous(), torch.arange(n) % len(sources)
