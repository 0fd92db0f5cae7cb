"""Tensors, arrays and tables in memory, alone, in tuples and in mappings; `.npy` and `.npz` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cka_plugin.data.content import Content, Member
from cka_plugin.data.indexed import Indexed, held
from cka_plugin.data.items import of_items, of_minibatch
from cka_plugin.data.kinds import RAW_KINDS, kind_of
from cka_plugin.data.labels import LABEL_KEYS

ARRAY_KEYS = ("x", "X", "inputs", "input", "data", "images", "features", "arr_0")
ARRAY_LABEL_KEYS = (*LABEL_KEYS, "Y", "arr_1")


def of_arrays(data: Any, what: str) -> Indexed:
    """Examples along the first axis of a tensor, an array or a table, or of those in a tuple or mapping.

    Raises:
        TypeError: no numbers, images or texts.
        ValueError: members of different lengths, or labels that are no classes.
    """
    if isinstance(data, np.ndarray) and (data.dtype.kind not in "biufUSO" or data.ndim == 0):
        raise TypeError(
            f"{what} has shape {data.shape} and dtype {data.dtype}: expected (n, ...) numbers, uint8 images or texts"
        )
    if isinstance(data, np.ndarray) and data.dtype.kind in "USO":
        data = data.ravel()
    content = of_minibatch(data)
    if content.n == 0:
        raise ValueError(f"{what} holds no examples")
    lengths = {str(m.key): len(m.values) for m in content.members if hasattr(m.values, "__len__") and _is_long(m)}
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{length} of {key}" for key, length in lengths.items())
        labels = content.members[-1]
        if isinstance(data, tuple) and len(data) == 2:
            raise ValueError(
                f"given {len(labels.values)} labels for {len(content.members[0].values)} examples: expected one an "
                "example, in the same order"
            )
        raise ValueError(f"{what} holds members of other lengths ({each}): expected as many examples in each")
    return held(content, what)


def _is_long(member: Member) -> bool:
    return not isinstance(member.values, Tensor) or member.values.ndim > 0


def raw_examples(
    items: Sequence[Any],
    what: str,
    labels: Any = None,
    names: list[str] | None = None,
    ids: Sequence[Any] | None = None,
) -> Indexed:
    """Raw examples held in memory: images, texts, sounds, or tuples of them.

    Raises:
        TypeError: they are of several kinds.
    """
    content = of_items(items)
    check_one_kind(content, what)
    return held(content, what, ids, labels, names)


def check_one_kind(content: Content, what: str) -> None:
    """Raise a TypeError where some examples have another kind of member than the first."""
    for member in content.members:
        if member.kind not in RAW_KINDS:
            continue
        for place, value in enumerate(member.values):
            if value is not None and kind_of([value]) != member.kind:
                other = f"{kind_of([value])} (example {place})"
                raise TypeError(f"{what} mixes {member.kind} with {other}: expected one kind of example")


def read_npz(path: Path) -> Indexed:
    """An `.npz` file: the examples and, if there are any, their labels, under one of their usual names.

    Raises:
        ValueError: it cannot be read, or holds neither.
    """
    try:
        held_arrays = np.load(path, allow_pickle=False)
        with held_arrays:
            arrays = {key: held_arrays[key] for key in held_arrays.files}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable .npz file: {error}") from error
    key = next((key for key in ARRAY_KEYS if key in arrays), None)
    if key is None:
        raise ValueError(
            f"{path} holds arrays {', '.join(arrays)}: expected the examples under one of {', '.join(ARRAY_KEYS)}"
        )
    label_key = next((k for k in ARRAY_LABEL_KEYS if k in arrays), None)
    if label_key is None:
        return of_arrays(arrays[key], str(path))
    if len(arrays[label_key]) != len(arrays[key]):
        raise ValueError(
            f"{path}: {key!r} holds {len(arrays[key])} examples and {label_key!r} {len(arrays[label_key])} labels"
        )
    return of_arrays(arrays[key], str(path)).with_labels(arrays[label_key])


def read_npy(path: Path) -> Indexed:
    """An `.npy` file: one array of examples."""
    try:
        return of_arrays(np.load(path, allow_pickle=False), str(path))
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error
