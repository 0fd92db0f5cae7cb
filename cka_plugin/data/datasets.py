"""Map-style data sets of PyTorch: items are read when they are needed."""

from __future__ import annotations

from typing import Any

from cka_plugin.data.batches import raw_kinds
from cka_plugin.data.indexed import Indexed, Read
from cka_plugin.data.items import of_item, of_items
from cka_plugin.data.numbers import Ints
from cka_plugin.data.roles import label_choices

UNREADABLE = (OSError, SyntaxError)  # what a broken file raises


def of_dataset(data: Any, item: Any) -> Indexed:
    """A data set: items are x, (x, y), named tuples or mappings; x tensors, arrays or raw examples.

    Args:
        data: it.
        item: its first.

    Raises:
        ValueError: while reading, items that do not hold the same members.
        OSError: while reading, an item that cannot be read.
    """
    n = len(data)
    what = f"the data set {type(data).__name__}"
    first = of_item(item)
    classes = getattr(data, "classes", None)
    choices = label_choices(first)
    numbered = bool(choices) and choices[0][1].dtype.kind != "U"
    names = [str(name) for name in classes] if classes is not None and numbered else None

    def read(positions: Ints, on_error: str) -> Read:
        items: list[Any] = []
        failed: list[int] = []
        for place, position in enumerate(positions):
            try:
                items.append(data[int(position)])
            except UNREADABLE as error:
                if on_error == "raise":
                    raise OSError(
                        f"{what}: cannot read example {position}: {error}; give on_error='skip' to leave it out"
                    ) from error
                failed.append(place)
        try:
            return Read(of_items(items) if items else None, failed)
        except ValueError as error:
            raise ValueError(f"{what}, among items {positions[:3].tolist()} ...: {error}") from error

    return Indexed(range(n), read, what, label_names=names, users_code=True, kinds=raw_kinds(first))
