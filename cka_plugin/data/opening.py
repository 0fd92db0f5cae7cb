"""What the user gave as `data`, opened by its type."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from cka_plugin.data.arrays import of_arrays
from cka_plugin.data.counting import is_minibatch
from cka_plugin.data.datasets import of_dataset
from cka_plugin.data.files import KNOWN_FILES, read_path
from cka_plugin.data.hugging_face import is_hugging_face, is_splits, of_hugging_face, of_splits
from cka_plugin.data.label_files import read_labels
from cka_plugin.data.loader import Stream, is_stream
from cka_plugin.data.pieces import Minibatches
from cka_plugin.data.sequences import of_list
from cka_plugin.data.source import Source
from cka_plugin.data.tables import of_frame


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
    for _, fits, read in READERS:
        if fits(data):
            source = read(data)
            return source if labels is None else source.with_labels(read_labels(labels))
    known = ", ".join(name for name, _, _ in READERS)
    raise TypeError(f"data of type {type(data).__name__} cannot be read: expected {known}; files are {KNOWN_FILES}")


def _of_items(data: Any) -> Source:
    """A data set or list of examples; or of whole minibatches, which their labels tell."""
    if len(data) == 0:
        raise ValueError(f"the {type(data).__name__} holds no examples")
    first = data[0]
    if isinstance(first, Mapping | tuple | list) and is_minibatch(first):
        return Stream(Minibatches(data, f"the {type(data).__name__}"))
    return of_list(list(data)) if isinstance(data, Sequence) else of_dataset(data, first)


def _is_array(data: Any) -> bool:
    return isinstance(data, np.ndarray) or (hasattr(data, "__array__") and not isinstance(data, Sequence))


def _is_members(data: Any) -> bool:
    """Whether a tuple holds members of all examples, such as (x, y), and not the examples themselves."""
    return isinstance(data, tuple) and len(data) > 0 and all(_is_sized(part) for part in data)


def _is_sized(part: Any) -> bool:
    return not isinstance(part, str | bytes) and hasattr(part, "__len__") and not hasattr(part, "getbands")


# What data may be: what it is called, how it is known, what reads it. The first that fits.
READERS: list[tuple[str, Callable[[Any], bool], Callable[[Any], Source]]] = [
    ("a DataLoader or another iterable of minibatches", is_stream, Stream),
    ("a folder or file", lambda data: isinstance(data, str | os.PathLike), read_path),
    ("a tensor", lambda data: isinstance(data, Tensor), lambda data: of_arrays(data, "the tensor")),
    ("a data frame", lambda data: hasattr(data, "iloc") and hasattr(data, "columns"), of_frame),
    ("a series", lambda data: hasattr(data, "iloc"), lambda data: of_list(data.tolist())),
    ("an array", _is_array, lambda data: of_arrays(np.asarray(data), "the array")),
    ("a DatasetDict of one split", is_splits, of_splits),
    ("a mapping of tensors", lambda data: isinstance(data, Mapping), lambda data: of_arrays(data, "the mapping")),
    ("a tuple of arrays such as (x, y)", _is_members, lambda data: of_arrays(data, "the arrays")),
    ("a Hugging Face datasets.Dataset", is_hugging_face, of_hugging_face),
    ("a Dataset", lambda data: isinstance(data, Dataset), _of_items),
    ("a list of examples", lambda data: isinstance(data, Sequence), _of_items),
    (
        "anything with a length and items",
        lambda data: hasattr(data, "__getitem__") and hasattr(data, "__len__"),
        _of_items,
    ),
]
