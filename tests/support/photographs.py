"""A small folder of pictures as users have them: JPEGs of several sizes, one turned, one deep, one transparent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def photographs(folder: Path, count: int = 20) -> Path:
    """Two class folders of made pictures; returns `folder`."""
    rng = np.random.default_rng(0)

    def noise(*shape: int, most: int = 255, dtype: type = np.uint8) -> Image.Image:
        return Image.fromarray(rng.integers(0, most, shape).astype(dtype))

    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(count // 2):
            height, width = rng.integers(40, 90, 2)
            noise(height, width, 3).save(folder / name / f"{number:02d}.jpg")
    turned = noise(40, 60, 3)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "cats" / "turned.jpg", exif=exif)
    noise(50, 40, most=65535, dtype=np.uint16).save(folder / "cats" / "deep.png")
    noise(50, 40, 4).save(folder / "dogs" / "transparent.png")
    return folder


def break_file(path: Path) -> None:
    """Cut a picture short."""
    path.write_bytes(path.read_bytes()[:300])
