"""imaging 1.0, a small library of its own that this repository keeps a copy of: from pictures to tensors."""

import numpy as np
import torch
from PIL import Image

SIZE = (16, 16)
MEAN, STD = [0.45, 0.45, 0.45], [0.25, 0.25, 0.25]


def resized(pixels: np.ndarray) -> torch.Tensor:
    """(height, width, 3) of 0 to 255 to (3, 16, 16) of 0 to 1."""
    small = Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255


def prepare(picture: Image.Image) -> torch.Tensor:
    """A picture as the network takes it."""
    pixels = np.array(picture.convert("RGB"))
    return (resized(pixels) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
