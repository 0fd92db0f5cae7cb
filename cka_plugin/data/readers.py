"""Readers: folders of images, arrays, tensors, texts, data sets and files as `Examples`, readable in any order."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from cka_plugin.data.source import (
    Examples,
    Ints,
    Read,
    fingerprint,
    fingerprint_raw,
    fingerprints_of,
    label_numbers,
    size_of,
)
from cka_plugin.data.streams import LABEL_KEYS, split_labels

IMAGE_KEYS = ("image", "img", "images", "file_name", "file", "path", "filename")
TEXT_KEYS = ("text", "sentence", "caption", "content", "document", "texts")
AUDIO_KEYS = ("audio", "speech")
ARRAY_KEYS = ("x", "X", "inputs", "input", "data", "images", "features", "arr_0")
ARRAY_LABEL_KEYS = (*LABEL_KEYS, "Y", "arr_1")
_NAMED = {"image": IMAGE_KEYS, "text": TEXT_KEYS, "audio": AUDIO_KEYS}


def examples(data: Any) -> Examples:
    """Whatever can be read in any order, as `Examples`.

    Raises:
        TypeError: data of a kind that cannot be read.
        ValueError, OSError: its content cannot be used.
    """
    if isinstance(data, str | os.PathLike):
        return _from_path(data)
    if isinstance(data, Tensor):
        return ready(data, "the tensor")
    if isinstance(data, np.ndarray) or (hasattr(data, "__array__") and not isinstance(data, Sequence)):
        return _array(np.asarray(data), "the array")
    if isinstance(data, Mapping):
        return _mapping(data)
    if isinstance(data, tuple) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
        return _pair(data)
    if isinstance(data, Dataset):
        return _dataset(data)
    if hasattr(data, "features") and hasattr(data, "column_names"):
        return _hugging_face(data)
    if isinstance(data, Sequence):
        return _sequence(list(data))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _dataset(data)
    raise TypeError(
        f"data of type {type(data).__name__} cannot be read: expected a folder, a DataLoader, a Dataset, a "
        "Hugging Face "
        "datasets.Dataset, arrays or tensors, a list of texts or images, or a .txt, .csv, .jsonl or .npz file"
    )


def read_labels(labels: Any) -> Any:
    """Labels as given, or of a file: .txt (a line each), .npy, .csv (`label` and perhaps `id`)."""
    if not isinstance(labels, str | os.PathLike):
        return labels
    path = Path(labels)
    if not path.is_file():
        raise FileNotFoundError(f"no such file of labels: {path}")
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".txt":
        lines = path.read_text(encoding="utf-8").split("\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
        return (
            [int(line) for line in lines] if all(_is_int(line) for line in lines) else [line.strip() for line in lines]
        )
    if path.suffix == ".csv":
        import pandas as pd

        table = pd.read_csv(path)
        column = next((key for key in LABEL_KEYS if key in table.columns), None)
        if column is None:
            raise ValueError(f"{path} has columns {', '.join(map(str, table.columns))}: expected one called 'label'")
        if "id" in table.columns:
            return dict(zip(table["id"].tolist(), table[column].tolist(), strict=True))
        return table[column].tolist()
    raise ValueError(f"labels in {path}: expected a .txt, .csv or .npy file")


def _is_int(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()


def kinds_of(example: Any) -> tuple[str, ...]:
    """What kind of raw example this is; several for a tuple of them.

    Raises:
        TypeError: it is none that a model could be given.
    """
    if isinstance(example, tuple | list) and example and not isinstance(example[0], int | float):
        return tuple(kind for part in example for kind in kinds_of(part))
    if isinstance(example, str):
        return ("text",)
    if isinstance(example, np.ndarray) and example.ndim == 1:
        return ("audio",)
    if _is_image(example) or (isinstance(example, np.ndarray) and example.dtype == np.uint8 and example.ndim in (2, 3)):
        return ("image",)
    raise TypeError(f"an example of type {type(example).__name__} is no image, text, sound or tensor")


def _is_image(example: Any) -> bool:
    return hasattr(example, "getbands") and hasattr(example, "convert")  # PIL, without importing it


# Ready inputs and arrays


def ready(inputs: Any, what: str, labels: Ints | None = None, names: list[str] | None = None) -> Examples:
    """Tensors that models take as they are."""
    n = size_of(inputs)

    def read(positions: Ints, on_error: str) -> Read:
        index = torch.from_numpy(np.ascontiguousarray(positions))

        def rows(value: Any) -> Any:
            return (
                value[index.to(value.device)] if isinstance(value, Tensor) and value.ndim and len(value) == n else value
            )

        part: Any
        if isinstance(inputs, Tensor):
            part = rows(inputs)
        elif isinstance(inputs, Mapping):
            part = {key: rows(value) for key, value in inputs.items()}
        else:
            part = tuple(rows(value) for value in inputs)
        return Read(fingerprints_of(part, len(positions)), None, inputs=part)

    return Examples(range(n), read, (), labels, names, what)


def raw_examples(
    items: Sequence[Any],
    what: str,
    labels: Ints | None = None,
    names: list[str] | None = None,
    ids: Sequence[Any] | None = None,
) -> Examples:
    """Raw examples held in memory: images, texts, sounds, or tuples of them."""
    kinds = kinds_of(items[0]) if len(items) else ()
    for position, item in enumerate(items):
        if kinds_of(item) != kinds:
            raise TypeError(
                f"{what} mixes {kinds} with {kinds_of(item)} (example {position}): expected one kind of example"
            )

    def read(positions: Ints, on_error: str) -> Read:
        raw = [items[p] for p in positions]
        prints = np.array([fingerprint_raw(example) for example in raw], dtype=np.uint64)
        return Read(prints, None, raw=[_as_image(example) for example in raw])

    return Examples(range(len(items)) if ids is None else ids, read, kinds, labels, names, what)


def _as_image(example: Any) -> Any:
    """uint8 arrays to PIL images, also within tuples; everything else as it is."""
    if isinstance(example, tuple | list) and example and not isinstance(example[0], int | float):
        return tuple(_as_image(part) for part in example)
    if isinstance(example, np.ndarray) and example.dtype == np.uint8 and example.ndim in (2, 3):
        from PIL import Image

        return Image.fromarray(example.squeeze(-1) if example.ndim == 3 and example.shape[2] == 1 else example)
    return example


def _array(
    array: np.ndarray[Any, Any], what: str, labels: Ints | None = None, names: list[str] | None = None
) -> Examples:
    if array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))):
        return raw_examples(list(array), what, labels, names)
    if array.dtype.kind in "US":
        return raw_examples([str(text) for text in array.ravel()], what, labels, names)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise TypeError(
            f"{what} has shape {array.shape} and dtype {array.dtype}: expected (n, ...) numbers, uint8 images or texts"
        )
    return ready(torch.from_numpy(np.ascontiguousarray(array)), what, labels, names)


def _mapping(data: Mapping[str, Any]) -> Examples:
    """Keyword arguments of the model, each (n, ...); a key called `label` or `labels` holds the labels."""
    inputs, _ = split_labels(data)
    given = next((data[key] for key in LABEL_KEYS if key in data), None)
    labels, names = (None, None) if given is None else label_numbers(given)
    if not isinstance(inputs, Mapping):
        return raw_examples(list(inputs), "the mapping", labels, names)
    tensors = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in inputs.items()}
    return ready(tensors, "the mapping of tensors", labels, names)


def _pair(data: tuple[Any, ...]) -> Examples:
    """(x, y): inputs and their classes."""
    if len(data) != 2:
        raise TypeError(
            f"a tuple of {len(data)} arrays as data: expected (inputs, labels), or a mapping of keyword arguments"
        )
    labels, names = label_numbers(data[1])
    x, what = data[0], "the arrays"
    if len(labels) != len(x):
        raise ValueError(
            f"given {len(labels)} labels for {len(x)} examples: expected one an example, in the same order"
        )
    return ready(x, what, labels, names) if isinstance(x, Tensor) else _array(x, what, labels, names)


def _sequence(items: list[Any]) -> Examples:
    what = "the list"
    if not items:
        return Examples([], lambda positions, on_error: Read(np.zeros(0, dtype=np.uint64), None), (), what=what)
    first = items[0]
    if isinstance(first, Path):
        return _image_files([Path(item) for item in items], [str(item) for item in items], what)
    if isinstance(first, Tensor):
        if any(item.shape != first.shape for item in items):
            raise ValueError(f"{what} holds tensors of different shapes: expected one shape, or raw examples")
        return ready(torch.stack(items), what)
    if isinstance(first, np.ndarray) and first.ndim > 1 and first.dtype != np.uint8:
        return _array(np.stack(items), what)
    if isinstance(first, int | float) or (isinstance(first, list) and first and isinstance(first[0], int | float)):
        return _array(np.asarray(items), what)
    if isinstance(first, tuple) and len(first) == 2 and isinstance(first[1], int):
        labels, names = label_numbers([item[1] for item in items])
        return raw_examples([item[0] for item in items], what, labels, names)
    if isinstance(first, Mapping):
        return _records(items, what, None)
    return raw_examples(items, what)


# Folders and files


def _from_path(given: str | os.PathLike[str]) -> Examples:
    if isinstance(given, str) and given.startswith("sample:"):
        return _sample(given.removeprefix("sample:"))
    path = Path(given)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no such data: {path}; expected a folder of images, a .txt, .csv, .jsonl or .npz file, or "
            "sample:digits, sample:photos"
        )
    suffix = path.suffix.lower()
    if suffix == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()
        return raw_examples([line for line in lines if line.strip()], str(path))
    if suffix == ".npz":
        return _npz(path)
    if suffix == ".npy":
        return _array(np.load(path, allow_pickle=False), str(path))
    if suffix == ".jsonl":
        records = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                try:
                    records.append(json.loads(line))
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not JSON: {error}") from error
        return _records(records, str(path), path.parent)
    if suffix == ".csv":
        import pandas as pd

        table = pd.read_csv(path)
        return _records(
            [{str(k): v for k, v in row.items()} for row in table.to_dict("records")], str(path), path.parent
        )
    raise ValueError(f"data {path}: expected a folder of images, or a .txt, .csv, .jsonl, .npz or .npy file")


def _folder(folder: Path) -> Examples:
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
    return _image_files(files, ids, what, labels, names)


def _image_files(
    files: Sequence[Path], ids: Sequence[Any], what: str, labels: Ints | None = None, names: list[str] | None = None
) -> Examples:
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

    return Examples(ids, read, ("image",), labels, names, what)


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


def _npz(path: Path) -> Examples:
    try:
        held = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error
    with held:
        arrays = {key: held[key] for key in held.files}
    key = next((key for key in ARRAY_KEYS if key in arrays), None)
    if key is None:
        raise ValueError(
            f"{path} holds arrays {', '.join(arrays)}: expected the examples under one of {', '.join(ARRAY_KEYS)}"
        )
    label_key = next((k for k in ARRAY_LABEL_KEYS if k in arrays), None)
    labels, names = (None, None) if label_key is None else label_numbers(arrays[label_key])
    if labels is not None and len(labels) != len(arrays[key]):
        raise ValueError(f"{path}: {key!r} holds {len(arrays[key])} examples and {label_key!r} {len(labels)} labels")
    return _array(arrays[key], str(path), labels, names)


def _records(records: Sequence[Mapping[str, Any]], what: str, base: Path | None) -> Examples:
    """Rows of a file: columns of text, of images (paths beside the file), a label, an id; or numbers only."""
    if not records:
        raise ValueError(f"{what} holds no examples")
    columns = list(records[0])
    label_key = next((key for key in LABEL_KEYS if key in columns), None)
    labels, names = (None, None) if label_key is None else label_numbers([record[label_key] for record in records])
    ids = [record["id"] for record in records] if "id" in columns else None
    if ids is not None and len(set(ids)) < len(ids):
        raise ValueError(f"{what}: the ids are not unique")
    found = _columns(columns, records[0], what)
    if not found:
        numeric = [c for c in columns if c not in (label_key, "id")]
        if not numeric or not all(isinstance(records[0][c], int | float) for c in numeric):
            raise ValueError(
                f"{what} has columns {', '.join(columns)}: expected a text column ({', '.join(TEXT_KEYS[:3])}), "
                "an image column "
                f"({', '.join(IMAGE_KEYS[:2])}, path), or numbers only"
            )
        rows = np.array([[record[c] for c in numeric] for record in records], dtype=np.float32)
        source = ready(torch.from_numpy(rows), what, labels, names)
        return source if ids is None else Examples(ids, source._read, (), labels, names, what)
    kinds = tuple(found)

    def read(positions: Ints, on_error: str) -> Read:
        raw: list[Any] = []
        prints, failed = [], []
        for place, position in enumerate(positions):
            parts, marks = [], []
            try:
                for kind in kinds:
                    value = records[position][found[kind]]
                    if kind == "image" and isinstance(value, str):
                        image, mark = open_image((base or Path()) / value)
                        parts.append(image)
                        marks.append(mark)
                    elif kind == "text" and not isinstance(value, str):
                        raise ValueError(f"{what}: {found[kind]!r} of row {position} is {value!r}, not a text")
                    else:
                        parts.append(value)
                        marks.append(fingerprint_raw(value))
            except OSError as error:
                if on_error == "raise":
                    raise OSError(f"{error}; give on_error='skip' to leave such examples out") from error
                failed.append(place)
                continue
            raw.append(parts[0] if len(parts) == 1 else tuple(parts))
            prints.append(marks[0] if len(marks) == 1 else fingerprint(*(mark.to_bytes(8, "little") for mark in marks)))
        return Read(np.array(prints, dtype=np.uint64), None, raw=raw, failed=failed)

    return Examples(range(len(records)) if ids is None else ids, read, kinds, labels, names, what)


def _columns(columns: Sequence[str], first: Mapping[str, Any], what: str) -> dict[str, str]:
    """Kind of raw example -> the column that holds it."""
    found: dict[str, str] = {}
    for kind, keys in _NAMED.items():
        held = [key for key in keys if key in columns and not isinstance(first[key], int | float)]
        if held:
            found[kind] = held[0]
    if not found:
        texts = [c for c in columns if isinstance(first[c], str) and c not in LABEL_KEYS and c != "id"]
        if len(texts) == 1:
            return {"text": texts[0]}
        if len(texts) > 1:
            raise ValueError(f"{what} has several columns of text ({', '.join(texts)}): leave one, or call it 'text'")
    return found


def _sample(name: str) -> Examples:
    from cka_plugin import sample

    if name == "digits":  # those that no model of the sample was trained on
        pictures, labels, ids = sample.digit_images("test")
        return raw_examples(pictures, "sample:digits", labels, list(sample.CLASS_NAMES), ids)
    if name == "photos":
        images, ids = sample.photos()
        return raw_examples(images, "sample:photos", ids=ids)
    raise ValueError(f"unknown sample data 'sample:{name}': expected sample:digits or sample:photos")


# Data sets


def _dataset(data: Any) -> Examples:
    """A map-style torch data set: items are x, (x, y) or mappings; x a tensor or a raw example."""
    n = len(data)
    what = f"the data set {type(data).__name__}"
    if n == 0:
        raise ValueError(f"{what} holds no examples")
    first, label = _split_item(data[0])
    kinds: tuple[str, ...] = () if _is_ready(first) else kinds_of(first)
    classes = getattr(data, "classes", None)
    names = [str(name) for name in classes] if classes is not None and label is not None else None

    def read(positions: Ints, on_error: str) -> Read:
        items: list[Any] = []
        labels: list[Any] = []
        failed: list[int] = []
        for place, position in enumerate(positions):
            try:
                item = data[int(position)]
            except (OSError, SyntaxError) as error:
                if on_error == "raise":
                    raise OSError(
                        f"{what}: cannot read example {position}: {error}; give on_error='skip' to leave it out"
                    ) from error
                failed.append(place)
                continue
            value, own = _split_item(item)
            items.append(value)
            labels.append(own)
        found = None if label is None else label_numbers(labels)[0]
        if kinds:
            prints = np.array([fingerprint_raw(item) for item in items], dtype=np.uint64)
            return Read(prints, found, raw=[_as_image(item) for item in items], failed=failed)
        try:
            inputs = default_collate(items)
        except RuntimeError as error:
            raise ValueError(
                f"{what}: examples cannot be put into one minibatch: {error}; give a DataLoader with a collate_fn"
            ) from error
        inputs = tuple(inputs) if isinstance(inputs, list) else inputs
        return Read(fingerprints_of(inputs, len(items)), found, inputs=inputs, failed=failed)

    return Examples(range(n), read, kinds, None, names, what, users_code=True)


def _split_item(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        label = next((item[key] for key in LABEL_KEYS if key in item), None)
        rest = {key: value for key, value in item.items() if key not in LABEL_KEYS}
        raw = [v for v in rest.values() if isinstance(v, str) or _is_image(v)]
        if raw:
            return (raw[0] if len(raw) == 1 else tuple(sorted(raw, key=lambda v: isinstance(v, str)))), _class_of(label)
        return (next(iter(rest.values())) if len(rest) == 1 else rest), _class_of(label)
    if isinstance(item, tuple | list) and item and not isinstance(item[0], int | float):
        if len(item) > 1 and _class_of(item[1]) is None and isinstance(item[1], str) and _is_image(item[0]):
            return tuple(item[:2]), None  # an image and its caption
        return item[0], _class_of(item[1]) if len(item) > 1 else None
    return item, None


def _class_of(label: Any) -> int | None:
    if isinstance(label, bool | int | np.integer):
        return int(label)
    if isinstance(label, Tensor) and label.numel() == 1 and not label.is_floating_point():
        return int(label)
    return None


def _is_ready(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(isinstance(value, Tensor | np.ndarray) for value in item.values())
    return isinstance(item, Tensor) or (
        isinstance(item, np.ndarray) and not (item.dtype == np.uint8 and item.ndim in (2, 3))
    )


def _hugging_face(data: Any) -> Examples:
    """A `datasets.Dataset`: columns are known by their features (Image, Audio, Value of text, ClassLabel)."""
    what = "the Hugging Face dataset"
    if len(data) == 0:
        raise ValueError(f"{what} holds no examples")
    if not hasattr(data, "__getitem__"):
        raise TypeError(f"{what} is a stream: give a map-style one (streaming=False), or a DataLoader")
    by_kind: dict[str, list[str]] = {"image": [], "text": [], "audio": []}
    label_key, names = None, None
    for column, feature in data.features.items():
        kind = type(feature).__name__
        if kind == "ClassLabel" and label_key is None:
            label_key, names = column, list(feature.names)
        elif kind in ("Image", "Audio"):
            by_kind[kind.lower()].append(column)
        elif kind == "Value" and feature.dtype in ("string", "large_string") and column not in LABEL_KEYS:
            by_kind["text"].append(column)
        elif kind == "Value" and column in LABEL_KEYS and "int" in feature.dtype and label_key is None:
            label_key = column
    for columns in by_kind.values():
        preferred = [c for c in columns if c in TEXT_KEYS + IMAGE_KEYS + AUDIO_KEYS]
        columns[:] = preferred[:1] or columns
    found = {kind: columns for kind, columns in by_kind.items() if columns}
    labels = None if label_key is None else np.asarray(data[label_key], dtype=np.int64)
    if not found:
        tensors = data.remove_columns([label_key] if label_key else []).with_format("torch")[:]
        return ready({key: value for key, value in tensors.items() if isinstance(value, Tensor)}, what, labels, names)
    several = [columns for columns in found.values() if len(columns) > 1]
    if several:
        raise ValueError(
            f"{what} has several columns of one kind ({', '.join(several[0])}): select_columns the one to use"
        )

    def read(positions: Ints, on_error: str) -> Read:
        raw = []
        for position in positions:
            row = data[int(position)]
            parts = [_sound(row[columns[0]]) if kind == "audio" else row[columns[0]] for kind, columns in found.items()]
            raw.append(parts[0] if len(parts) == 1 else tuple(parts))
        return Read(np.array([fingerprint_raw(example) for example in raw], dtype=np.uint64), None, raw=raw)

    return Examples(range(len(data)), read, tuple(found), labels, names, what, users_code=True)


def _sound(value: Any) -> Any:
    if isinstance(value, Mapping):
        return np.asarray(value["array"], dtype=np.float32)
    if hasattr(value, "get_all_samples"):  # torchcodec's decoder
        return value.get_all_samples().data.mean(0).numpy()
    return value
