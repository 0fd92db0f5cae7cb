"""Files and folders: which reader reads which suffix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cka_plugin.data.arrays import raw_examples, read_npy, read_npz
from cka_plugin.data.folders import read_folder
from cka_plugin.data.indexed import Indexed
from cka_plugin.data.table_files import read_csv, read_jsonl, read_parquet
from cka_plugin.data.texts import read_txt

FILES: dict[str, Callable[[Path], Indexed]] = {
    ".txt": read_txt,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".npy": read_npy,
}
KNOWN_FILES = ", ".join(list(FILES)[:-1]) + f" or {list(FILES)[-1]}"


def read_path(given: str | os.PathLike[str]) -> Indexed:
    """A folder of images, a file by its suffix, or `sample:crops`, `sample:digits`, `sample:photos`.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a suffix that no reader knows, or what its reader raises.
    """
    if isinstance(given, str) and given.startswith("sample:"):
        return _sample(given.removeprefix("sample:"))
    path = Path(given)
    if path.is_dir():
        return read_folder(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no such data: {path}; expected a folder of images, a {KNOWN_FILES} file, or sample:crops, sample:digits, "
            "sample:photos"
        )
    reader = FILES.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"data {path}: expected a folder of images, or a {KNOWN_FILES} file")
    return reader(path)


def _sample(name: str) -> Indexed:
    from cka_plugin import sample

    if name == "digits":  # those that no model of the sample was trained on
        pictures, labels, ids = sample.digit_images("test")
        return raw_examples(pictures, "sample:digits", labels, list(sample.CLASS_NAMES), ids)
    if name == "crops":  # likewise
        pictures, labels, ids = sample.crop_images()
        return raw_examples(pictures, "sample:crops", labels, list(sample.CROP_CLASSES), ids)
    if name == "photos":
        images, ids = sample.photos()
        return raw_examples(images, "sample:photos", ids=ids)
    raise ValueError(f"unknown sample data 'sample:{name}': expected sample:crops, sample:digits or sample:photos")
