"""Where what is exported lies: an empty folder, and in it files named after models."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_LONGEST = 80  # characters: the longest file name is 255 bytes, and something is added


def empty_folder(path: str | os.PathLike[str]) -> Path:
    """A folder to write into, made if it is not there.

    Raises:
        ValueError: it is a file, or holds something: nothing is written over.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise ValueError(f"cannot export to {folder}: it {what}; give a new folder, or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_names(names: Sequence[str]) -> dict[str, str]:
    """For each name one that every file system takes, and no two alike, whatever their case.

    Example:
        >>> file_names(["resnet18", "org/vit", "org_vit", "..", "ORG_ViT"])
        {'resnet18': 'resnet18', 'org/vit': 'org_vit', 'org_vit': 'org_vit-2', '..': '_', 'ORG_ViT': 'ORG_ViT-3'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST].strip(".") or "_"
        given, number = stem, 2
        while given.lower() in taken:
            given, number = f"{stem}-{number}", number + 1
        taken.add(given.lower())
        found[name] = given
    return found
