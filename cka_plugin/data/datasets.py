"""Map-style data sets of PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from cka_plugin.data.batches import Ints
from cka_plugin.data.fingerprints import fingerprint_raw, fingerprints_of
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.kinds import as_image, is_image, kinds_of
from cka_plugin.data.labels import LABEL_KEYS, label_numbers


def of_dataset(data: Any) -> Indexed:
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
            return Read(prints, found, raw=[as_image(item) for item in items], failed=failed)
        try:
            inputs = default_collate(items)
        except RuntimeError as error:
            raise ValueError(
                f"{what}: examples cannot be put into one minibatch: {error}; give a DataLoader with a collate_fn"
            ) from error
        inputs = tuple(inputs) if isinstance(inputs, list) else inputs
        return Read(fingerprints_of(inputs, len(items)), found, inputs=inputs, failed=failed)

    return Indexed(range(n), read, kinds, None, names, what, users_code=True)


def _split_item(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        label = next((item[key] for key in LABEL_KEYS if key in item), None)
        rest = {key: value for key, value in item.items() if key not in LABEL_KEYS}
        raw = [v for v in rest.values() if isinstance(v, str) or is_image(v)]
        if raw:
            return (raw[0] if len(raw) == 1 else tuple(sorted(raw, key=lambda v: isinstance(v, str)))), _class_of(label)
        return (next(iter(rest.values())) if len(rest) == 1 else rest), _class_of(label)
    if isinstance(item, tuple | list) and item and not isinstance(item[0], int | float):
        if len(item) > 1 and _class_of(item[1]) is None and isinstance(item[1], str) and is_image(item[0]):
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
