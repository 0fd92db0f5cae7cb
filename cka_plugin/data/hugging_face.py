"""Data sets of the library `datasets`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cka_plugin.data.batches import raw_kinds
from cka_plugin.data.datasets import UNREADABLE
from cka_plugin.data.fingerprints import fingerprints_of
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.items import of_item, of_items
from cka_plugin.data.kinds import RAW_KINDS
from cka_plugin.data.labels import LABEL_KEYS, label_numbers
from cka_plugin.data.numbers import Ints
from cka_plugin.data.roles import label_choices, meant


def is_hugging_face(data: Any) -> bool:
    """Whether it is a map-style data set of `datasets`, told without importing it."""
    return hasattr(data, "features") and hasattr(data, "column_names") and hasattr(data, "__getitem__")


def is_splits(data: Any) -> bool:
    """Whether it is a `DatasetDict`: several data sets, one a split."""
    return isinstance(data, Mapping) and len(data) > 0 and all(hasattr(part, "column_names") for part in data.values())


def of_splits(data: Mapping[str, Any]) -> Indexed:
    """The one split of a `DatasetDict`.

    Raises:
        ValueError: it has several.
    """
    if len(data) > 1:
        names = ", ".join(f"{name!r} ({part.num_rows} rows)" for name, part in data.items())
        raise ValueError(f"the DatasetDict has the splits {names}: give one, such as data[{next(iter(data))!r}]")
    ((name, only),) = data.items()
    return of_hugging_face(only, f"the split {name!r}")


def of_hugging_face(data: Any, what: str = "the Hugging Face dataset") -> Indexed:
    """A `datasets.Dataset`, also one with a transform of its own; another format (torch, numpy) is looked through.

    Columns that hold images, sounds, texts or conversations are known by what they hold, labels by their feature or
    name. Rows of tokens may differ in length.

    Raises:
        ValueError: it is empty.
        OSError: while reading, a row that lacks its label or cannot be decoded.
    """
    if len(data) == 0:
        raise ValueError(f"{what} holds no examples")
    own = data.format["type"] == "custom"  # with_transform: rows are what the user's function makes of them
    if not own and data.format["type"] is not None:
        data = data.select_columns(data.format["columns"]).with_format(None)
    first = of_item(data[0])
    label_key, names = _label(data.features, own, first.keys)
    labels, unlabelled = (None, {}) if label_key is None else _labels(data, label_key)
    if labels is not None and names is None:
        labels, names = label_numbers(labels)
    numbers = None
    if labels is not None:
        numbers = np.full(len(data), -1, dtype=np.int64)
        numbers[[place for place in range(len(data)) if place not in unlabelled]] = labels

    def read(positions: Ints, on_error: str) -> Read:
        rows: list[Any] = []
        failed: list[int] = []
        for place, position in enumerate(positions.tolist()):
            try:
                if position in unlabelled:
                    raise OSError(f"{label_key!r}, the label, is missing")
                rows.append(data[position])
            except UNREADABLE as error:
                if on_error == "raise":
                    raise OSError(
                        f"{what}, row {position}: {error}; give on_error='skip' to leave such examples out"
                    ) from error
                failed.append(place)
        if not rows:
            return Read(None, failed)
        content = of_items(rows).knowing([] if labels is None else [label_key])
        choices = [] if labels is not None else label_choices(content)
        return Read(content, failed, fingerprints_of(meant(content, choices[0][0] if choices else label_key)))

    kinds = tuple(dict.fromkeys(kind for kind in raw_kinds(meant(first, label_key)) if kind in RAW_KINDS))
    return Indexed(range(len(data)), read, what, labels=numbers, label_names=names, users_code=True, kinds=kinds)


def _label(features: Any, own: bool, keys: Sequence[Any]) -> tuple[str | None, list[str] | None]:
    """The column of the labels, unless only the user's transform makes it, and the names of its classes."""
    of_classes = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    names = [str(name) for name in features[of_classes[0]].names] if len(of_classes) == 1 else None
    if own:
        return None, names if any(key in LABEL_KEYS for key in keys) else None
    if of_classes:
        chosen = next((name for name in LABEL_KEYS if name in of_classes), of_classes[0])
        return chosen, [str(name) for name in features[chosen].names]
    scalars = [name for name, feature in features.items() if type(feature).__name__ == "Value"]
    return next((name for name in LABEL_KEYS if name in scalars), None), None


def _labels(data: Any, key: str) -> tuple[Any, dict[int, None]]:
    """The labels that there are, and the rows without one; None where they are no classes."""
    given = data.select_columns([key])[:][key]
    missing = {place: None for place, value in enumerate(given) if value is None or value != value}
    values = [value for value in given if value is not None and value == value]
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return None, {}
    return (label_numbers(values)[0] if not isinstance(values[0], str) else values) if values else None, missing
