"""Folders of images, and lists of image files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.data.batches import Ints
from cka_plugin.data.fingerprints import fingerprint
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.labels import label_numbers


def read_folder(folder: Path) -> Indexed:
    """Images in a folder, read recursively in the order of their paths; class sub-folders give labels."""
    from PIL import Image

    suffixes = set(Image.registered_extensions())
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    what = f"the folder {folder}"
    if not files:
        raise ValueError(
            f"{what} holds no images: expected files such as .jpg or .png, or a sub-folder of them for each class"
        )
    ids = [p.relative_to(folder).as_posix() for p in files]
    labels, names = None, None
    if all("/" in example for example in ids):
        labels, names = label_numbers([example.split("/")[0] for example in ids])
    elif any("/" in example for example in ids):
        loose = next(example for example in ids if "/" not in example)
        raise ValueError(
            f"{what} holds both class sub-folders and images of its own, such as {loose}: expected one or the other"
        )
    return image_files(files, ids, what, labels, names)


def image_files(
    files: Sequence[Path], ids: Sequence[Any], what: str, labels: Ints | None = None, names: list[str] | None = None
) -> Indexed:
    def read(positions: Ints, on_error: str) -> Read:
        raw: list[Any] = []
        prints, failed = [], []
        for place, position in enumerate(positions):
            try:
                image, mark = open_image(files[position])
            except OSError as error:
                if on_error == "raise":
                    raise OSError(f"{error}; give on_error='skip' to leave such examples out") from error
                failed.append(place)
                continue
            raw.append(image)
            prints.append(mark)
        return Read(np.array(prints, dtype=np.uint64), None, raw=raw, failed=failed)

    return Indexed(ids, read, ("image",), labels, names, what)


def open_image(path: Path) -> tuple[Any, int]:
    """An image file, decoded, and the fingerprint of its bytes.

    Raises:
        OSError: it cannot be read or decoded; the message names the path.
    """
    from PIL import Image

    try:
        content = path.read_bytes()
        image = Image.open(io.BytesIO(content))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f"cannot read the image {path}: {error}") from error
    return image, fingerprint(content)
