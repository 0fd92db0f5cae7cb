"""Folders of images, and lists of image files."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.data.content import Content, Member
from cka_plugin.data.fingerprints import fingerprint
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.labels import class_names
from cka_plugin.data.numbers import Ints
from cka_plugin.warnings import warn

HIDDEN = ("__MACOSX",)  # and whatever begins with a dot: .git, .ipynb_checkpoints, ._copies
PASSED_OVER = (".txt", ".csv", ".json", ".md", ".db", ".ini", ".py", ".xml")  # beside pictures, and clearly none
SKIPPABLE = (OSError, SyntaxError)  # what `on_error='skip'` leaves out


def read_folder(folder: Path) -> Indexed:
    """Images in a folder, read recursively in the order of their paths; class sub-folders give labels.

    Links are followed, each folder once; what is hidden is passed over; files of suffixes that are not read are counted
    in a warning.

    Raises:
        ValueError: no images, or class sub-folders and images side by side.
    """
    from PIL import Image

    suffixes = set(Image.registered_extensions())
    what = f"the folder {folder}"
    found = sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix())
    files = [path for path in found if path.suffix.lower() in suffixes]
    left_out = Counter(path.suffix.lower() or "no suffix" for path in found if path.suffix.lower() not in suffixes)
    counted = ", ".join(f"{count} {suffix}" for suffix, count in sorted(left_out.items()))
    if not files:
        raise ValueError(
            f"{what} holds no images{f', but {counted}' if counted else ''}: expected files such as .jpg or .png, or a "
            "sub-folder of them for each class"
        )
    if any(suffix not in PASSED_OVER for suffix in left_out):
        warn(f"{what}: files that are not read as images were left out: {counted}")
    ids = [path.relative_to(folder).as_posix() for path in files]
    loose = [example for example in ids if "/" not in example]
    if loose and len(loose) < len(ids):
        raise ValueError(
            f"{what} holds both class sub-folders and images of its own, such as {loose[0]}: expected one or the other"
        )
    if loose:
        return image_files(files, ids, what)
    classes = [example.split("/")[0] for example in ids]
    names = class_names(classes)
    return image_files(files, ids, what, np.array([names.index(name) for name in classes], dtype=np.int64), names)


def _files(folder: Path, inside: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """All files in a folder and its sub-folders, links followed, what is hidden passed over.

    A folder within itself, by a link, is entered once.
    """
    status = folder.stat()
    own = (status.st_dev, status.st_ino)
    if own in inside:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name in HIDDEN:
                continue
            if entry.is_dir():
                yield from _files(folder / entry.name, inside | {own})
            else:
                yield folder / entry.name


def image_files(
    files: Sequence[Path], ids: Sequence[Any], what: str, labels: Ints | None = None, names: list[str] | None = None
) -> Indexed:
    """Image files, opened when they are needed; fingerprints are those of their bytes."""

    def read(positions: Ints, on_error: str) -> Read:
        images: list[Any] = []
        prints, failed = [], []
        for place, position in enumerate(positions):
            try:
                image, mark = open_image(files[position])
            except OSError as error:
                if on_error == "raise":
                    raise OSError(f"{error}; give on_error='skip' to leave such examples out") from error
                failed.append(place)
                continue
            images.append(image)
            prints.append(mark)
        content = Content((Member(None, images),), len(images)) if images else None
        return Read(content, failed, np.array(prints, dtype=np.uint64))

    return Indexed(ids, read, what, labels=labels, label_names=names, kinds=("image",))


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
