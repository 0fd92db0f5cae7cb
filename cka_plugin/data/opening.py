"""What the user gave as `data`, opened by its type."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from cka_plugin.data.arrays import as_examples, of_mapping, of_pair, ready
from cka_plugin.data.datasets import of_dataset
from cka_plugin.data.files import KNOWN_FILES, read_path
from cka_plugin.data.hugging_face import of_hugging_face
from cka_plugin.data.indexed import Indexed
from cka_plugin.data.labels import read_labels
from cka_plugin.data.loader import Stream, is_stream
from cka_plugin.data.sequences import of_sequence
from cka_plugin.data.source import Source


def open_data(data: Any, labels: Any = None) -> Source:
    """What the user gave as `data`, ready to be read.

    Raises:
        ValueError, TypeError, FileNotFoundError: it cannot be: the message says what was given and what is expected.
    """
    if data is None:
        raise ValueError(
            "data is missing: give a folder of images, a DataLoader, a Dataset, tensors, a list of texts, a file, or "
            "data='sample:digits' to try"
        )
    if is_stream(data):
        return Stream(data, labels)
    source = _indexed(data)
    if len(source) == 0:
        raise ValueError(f"{source.what} holds no examples")
    return source if labels is None else source.with_labels(read_labels(labels))


def _is_array(data: Any) -> bool:
    return isinstance(data, np.ndarray) or (hasattr(data, "__array__") and not isinstance(data, Sequence))


# What is read in any order: what it is called, how it is known, what reads it. The first that fits.
READERS: list[tuple[str, Callable[[Any], bool], Callable[[Any], Indexed]]] = [
    ("a folder or file", lambda data: isinstance(data, str | os.PathLike), read_path),
    ("a tensor", lambda data: isinstance(data, Tensor), lambda data: ready(data, "the tensor")),
    ("an array", _is_array, lambda data: as_examples(np.asarray(data), "the array")),
    ("a mapping of tensors", lambda data: isinstance(data, Mapping), of_mapping),
    (
        "a pair of arrays",
        lambda data: isinstance(data, tuple) and bool(data) and all(isinstance(x, Tensor | np.ndarray) for x in data),
        of_pair,
    ),
    ("a Dataset", lambda data: isinstance(data, Dataset), of_dataset),
    (
        "a Hugging Face datasets.Dataset",
        lambda data: hasattr(data, "features") and hasattr(data, "column_names"),
        of_hugging_face,
    ),
    ("a list of texts, images or tensors", lambda data: isinstance(data, Sequence), lambda d: of_sequence(list(d))),
    (
        "anything with a length and items",
        lambda data: hasattr(data, "__getitem__") and hasattr(data, "__len__"),
        of_dataset,
    ),
]


def _indexed(data: Any) -> Indexed:
    for _, fits, read in READERS:
        if fits(data):
            return read(data)
    known = ", ".join(name for name, _, _ in READERS)
    raise TypeError(
        f"data of type {type(data).__name__} cannot be read: expected a DataLoader, {known}; files are {KNOWN_FILES}"
    )
