"""Natural images that come with the package: small crops of the photographs of scikit-image, to tell the photograph by.

The task of `examples/studies/photographs`: networks saw crops of the left 70% of each photograph, these are of the
rest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cka_plugin.sample.images import PHOTOGRAPHS

CROP_CLASSES = list(PHOTOGRAPHS)
CROP_MEAN, CROP_STD = 0.45, 0.25  # about those of all pixels; what the networks were trained with


def crops() -> tuple[Tensor, npt.NDArray[np.int64], list[str]]:
    """560 crops of 16 x 16 pixels that no network of the sample was trained on, 40 of each of 14 photographs.

    Returns:
        images (n, 3, 16, 16) float32, less 0.45 and divided by 0.25; labels (n,) int64: the photograph, in the order of
        `CROP_CLASSES`; ids, such as `astronaut/0017`.

    Example:
        >>> images, labels, ids = crops()
        >>> images.shape, labels[:3].tolist(), ids[0]
        (torch.Size([560, 3, 16, 16]), [0, 1, 2], 'astronaut/0000')
    """
    pixels, labels, ids = _read_crops()
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(CROP_MEAN).div(CROP_STD)
    return x.contiguous(), labels, ids


def crop_images() -> tuple[list[Image.Image], npt.NDArray[np.int64], list[str]]:
    """The same crops, labels and ids as `crops`, as RGB pictures that any model can prepare its own way.

    Example:
        >>> pictures, labels, ids = crop_images()
        >>> len(pictures), pictures[0].mode, pictures[0].size
        (560, 'RGB', (16, 16))
    """
    pixels, labels, ids = _read_crops()
    return [Image.fromarray(picture) for picture in pixels], labels, ids


@cache
def _crop_file() -> npt.NDArray[np.uint8]:
    """(n, 16, 16, 3); photographs take turns."""
    with np.load(Path(__file__).with_name("crops.npz"), allow_pickle=False) as file:
        pixels: npt.NDArray[np.uint8] = file["pixels"]
        return pixels


def _read_crops() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    pixels, kinds = _crop_file(), len(CROP_CLASSES)
    labels = np.arange(len(pixels), dtype=np.int64) % kinds
    ids = [f"{CROP_CLASSES[label]}/{place // kinds:04d}" for place, label in enumerate(labels)]
    return pixels, labels, ids
