"""Images to try things on: handwritten digits that come with the package, photographs that come with scikit-image."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

CLASS_NAMES = [str(digit) for digit in range(10)]
SPLITS = ("train", "test", "all")

# The photographs that scikit-image's wheels really hold (0.22 and later); its other data are downloaded.
PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "immunohistochemistry": "ihc.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}
SMALLEST_CROP = 64  # pixels of the photograph; smaller ones show nothing but blur


def digits(split: str = "test") -> tuple[Tensor, npt.NDArray[np.int64], list[str]]:
    """Handwritten digits as tensors, ready for the models of `cka_plugin.sample`.

    Each is scikit-learn's 8 x 8 picture, enlarged to 32 x 32 by bilinear interpolation in whole numbers (so the same
    everywhere), grey as three equal channels, scaled to [-1, 1]: `digit_images` with mean 0.5 and deviation 0.5.
    The split is random within classes: examples are held out, the people who wrote them are not.

    Args:
        split: `train` (1,000), `test` (797, which no model of the sample has seen), or `all` (1,797).

    Returns:
        images (n, 3, 32, 32) float32; labels (n,) int64, 0 to 9; ids, such as `digits/0042`: the position in
        `sklearn.datasets.load_digits()`.

    Raises:
        ValueError: an unknown split.

    Example:
        >>> images, labels, ids = digits("test")
        >>> images.shape, labels[:4].tolist(), ids[:2]
        (torch.Size([797, 3, 32, 32]), [0, 1, 4, 0], ['digits/0000', 'digits/0001'])
    """
    pictures, labels, ids = _read_digits(split)
    grey = torch.from_numpy(pictures).to(torch.float32).div(255).sub(0.5).div(0.5)
    return grey[:, None].repeat(1, 3, 1, 1), labels, ids


def digit_images(split: str = "test") -> tuple[list[Image.Image], npt.NDArray[np.int64], list[str]]:
    """The same digits, labels and ids as `digits`, as RGB pictures of 32 x 32 that any model can prepare its own way.

    Example:
        >>> pictures, labels, ids = digit_images("test")
        >>> len(pictures), pictures[0].mode, pictures[0].size
        (797, 'RGB', (32, 32))
    """
    pictures, labels, ids = _read_digits(split)
    return [Image.fromarray(picture).convert("RGB") for picture in pictures], labels, ids


def photos(n: int = 512, size: int = 224, seed: int = 0) -> tuple[list[Image.Image], list[str]]:
    """Random square crops of 14 photographs that come with scikit-image; nothing is downloaded.

    A crop is at least 64 pixels wide and at most half the shorter side of its photograph, its place and width drawn
    uniformly; it is scaled to `size` by bicubic interpolation. Photographs take turns, and a crop depends on its id,
    `size` and `seed` alone, so the first crops are the same whatever `n`.

    Args:
        n: number of crops.
        size: height and width of each, in pixels.
        seed: of places and sizes.

    Returns:
        n RGB pictures, and their ids, such as `astronaut/0017`: photograph and number of the crop.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
        FileNotFoundError: the installed scikit-image lacks one of the photographs.
        ValueError: `n` or `size` is below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"photos(n={n}, size={size}): both must be at least 1")
    folder = _photograph_folder()
    sources = []
    for name, file in list(PHOTOGRAPHS.items())[:n]:
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder / file} is not there, though scikit-image's wheels hold it: "
                "pip install --force-reinstall scikit-image"
            )
        with Image.open(folder / file) as opened:
            sources.append((name, opened.convert("RGB")))
    crops, ids = [], []
    for position in range(n):
        number, which = divmod(position, len(PHOTOGRAPHS))
        name, photograph = sources[which]
        rng = np.random.default_rng((seed, which, number))
        side = int(rng.integers(SMALLEST_CROP, min(photograph.size) // 2, endpoint=True))
        left, top = (int(rng.integers(0, length - side, endpoint=True)) for length in photograph.size)
        box = (left, top, left + side, top + side)
        crops.append(photograph.resize((size, size), Image.Resampling.BICUBIC, box=box))
        ids.append(f"{name}/{number:04d}")
    return crops, ids


def _photograph_folder() -> Path:
    """scikit-image's own data folder, found without importing it."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "the sample photographs come with scikit-image, which is not installed: pip install scikit-image",
            name="skimage",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


@cache
def _digit_file() -> dict[str, npt.NDArray[np.uint8]]:
    """`images` (1797, 8, 8) 0 to 16, `labels` (1797,), `held_out` (1797,) 0 or 1."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return dict(file)


def _read_digits(split: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str]]:
    if split not in SPLITS:
        raise ValueError(f"split {split!r} of the digits: expected one of {', '.join(SPLITS)}")
    file = _digit_file()
    chosen = np.arange(len(file["labels"])) if split == "all" else np.flatnonzero(file["held_out"] == (split == "test"))
    pictures = _enlarge(file["images"][chosen])
    return pictures, file["labels"][chosen].astype(np.int64), [f"digits/{position:04d}" for position in chosen]


def _enlarge(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(n, 8, 8) of 0 to 16 to (n, 32, 32) of 0 to 255: bilinear, edges repeated, rounded half up."""
    eighths = np.zeros((32, 8), dtype=np.int64)  # weights of the 8 pixels in each of the 32; each row adds up to 8
    for row in range(32):
        below, part = divmod(2 * row - 3, 8)  # (row + 1/2) / 4 - 1/2, in eighths
        eighths[row, max(below, 0)] += 8 - part
        eighths[row, min(below + 1, 7)] += part
    enlarged = eighths @ images.astype(np.int64) @ eighths.T  # 0 to 16 * 64
    return ((enlarged * 255 + 512) // 1024).astype(np.uint8)
