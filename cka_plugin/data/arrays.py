"""Tensors and arrays, mappings and pairs of them, `.npy` and `.npz` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cka_plugin.data.batches import Ints
from cka_plugin.data.fingerprints import fingerprint_raw, fingerprints_of, size_of
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.kinds import as_image, kinds_of
from cka_plugin.data.labels import LABEL_KEYS, label_numbers
from cka_plugin.data.pieces import split_labels

ARRAY_KEYS = ("x", "X", "inputs", "input", "data", "images", "features", "arr_0")
ARRAY_LABEL_KEYS = (*LABEL_KEYS, "Y", "arr_1")


def ready(inputs: Any, what: str, labels: Ints | None = None, names: list[str] | None = None) -> Indexed:
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

    return Indexed(range(n), read, (), labels, names, what)


def raw_examples(
    items: Sequence[Any],
    what: str,
    labels: Ints | None = None,
    names: list[str] | None = None,
    ids: Sequence[Any] | None = None,
) -> Indexed:
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
        return Read(prints, None, raw=[as_image(example) for example in raw])

    return Indexed(range(len(items)) if ids is None else ids, read, kinds, labels, names, what)


def as_examples(
    array: np.ndarray[Any, Any], what: str, labels: Ints | None = None, names: list[str] | None = None
) -> Indexed:
    if array.dtype == np.uint8 and (array.ndim == 3 or (array.ndim == 4 and array.shape[-1] in (1, 3, 4))):
        return raw_examples(list(array), what, labels, names)
    if array.dtype.kind in "US":
        return raw_examples([str(text) for text in array.ravel()], what, labels, names)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise TypeError(
            f"{what} has shape {array.shape} and dtype {array.dtype}: expected (n, ...) numbers, uint8 images or texts"
        )
    return ready(torch.from_numpy(np.ascontiguousarray(array)), what, labels, names)


def of_mapping(data: Mapping[str, Any]) -> Indexed:
    """Keyword arguments of the model, each (n, ...); a key called `label` or `labels` holds the labels."""
    inputs, _ = split_labels(data)
    given = next((data[key] for key in LABEL_KEYS if key in data), None)
    labels, names = (None, None) if given is None else label_numbers(given)
    if not isinstance(inputs, Mapping):
        return raw_examples(list(inputs), "the mapping", labels, names)
    tensors = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in inputs.items()}
    return ready(tensors, "the mapping of tensors", labels, names)


def of_pair(data: tuple[Any, ...]) -> Indexed:
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
    return ready(x, what, labels, names) if isinstance(x, Tensor) else as_examples(x, what, labels, names)


def read_npz(path: Path) -> Indexed:
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
    return as_examples(arrays[key], str(path), labels, names)


def read_npy(path: Path) -> Indexed:
    """An `.npy` file: one array of examples."""
    return as_examples(np.load(path, allow_pickle=False), str(path))
