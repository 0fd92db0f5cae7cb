"""How the classes of a head correspond to those of the labels: by a table, by index or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from cka_plugin.representation import telling_names
from cka_plugin.wording import listed


def head_mapping(
    table: Mapping[Any, Any] | Sequence[Any],
    name: str,
    head: Sequence[str] | None,
    class_names: Sequence[str] | None,
    width: int | None = None,
) -> list[int | None]:
    """For each class of a head, the class of the labels it means, or None.

    Args:
        table: from a class of the head (its index, or its name where `head` is known) to a class of the labels
            (index, or name where `class_names` are) or None; a sequence gives the targets in the order of the head.
            What is missing means None: a class outside the mapping.
        name: the model's, for messages.
        head: the names of the head's classes, in order, where they are known.
        class_names: the names of the labels' classes, where they are known.
        width: how many classes the head has, where that is known from its scores.

    Raises:
        ValueError: a class that does not exist on its side, a name that stands for several, or nothing mapped at all.

    Example:
        >>> head_mapping({"tabby": "cat", "beagle": "dog"}, "vit", ["tabby", "car", "beagle"], ["cat", "dog"])
        [0, None, 1]
    """
    if not isinstance(table, Mapping):
        table = dict(enumerate(table))
    sources = {class_index(source, head, f"the head of {name!r}", width): source for source in table}
    size = width or (len(head) if head is not None else 1 + max(sources, default=-1))
    onto: list[int | None] = [None] * size
    for index, source in sources.items():
        target = table[source]
        onto[index] = None if target is None else class_index(target, class_names, "class_names")
    if all(target is None for target in onto):
        raise ValueError(f"the mapping of {name!r} maps no class")
    return onto


def class_index(key: Any, names: Sequence[str] | None, where: str, width: int | None = None) -> int:
    """The index of a class given by index or by name; a ValueError that says where it was looked for otherwise."""
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        size = len(names) if names is not None else width
        if key < 0 or (size is not None and key >= size):
            limit = "" if size is None else f": it has {size} classes"
            raise ValueError(f"class {key} is not in {where}{limit}")
        return int(key)
    if names is None:
        raise ValueError(f"class {key!r}: the names of {where} are not known: use indices")
    found = [index for index, name in enumerate(names) if name == key]
    if not found:
        near = get_close_matches(str(key), names, n=3, cutoff=0.6)
        near += [name for name in names if str(key).lower() in name.lower() and name not in near]
        like = f"did you mean {listed([repr(name) for name in near[:5]])}?" if near else f"it has {listed(list(names))}"
        raise ValueError(f"class {key!r} is not in {where}: {like}")
    if len(found) > 1:
        raise ValueError(f"class {key!r} stands for several classes of {where}")
    return found[0]


def to_class_names(class_names: Sequence[Any] | Mapping[Any, Any] | None) -> list[str] | None:
    """Class names as a list, from a list or from a table of index to name such as Hugging Face's `config.id2label`.

    Raises:
        ValueError: a table whose indices are not 0, 1, ... k-1.

    Example:
        >>> to_class_names({0: "cat", 1: "dog"})
        ['cat', 'dog']
    """
    if class_names is None:
        return None
    if isinstance(class_names, str):
        raise TypeError(f"class_names {class_names!r}: expected a sequence of names, one a class")
    if isinstance(class_names, Mapping):
        by_index = {int(index): str(name) for index, name in class_names.items()}
        if sorted(by_index) != list(range(len(by_index))):
            raise ValueError(
                f"class_names has the indices {sorted(by_index)[:10]}...: expected 0 to {len(by_index) - 1}"
            )
        return [by_index[index] for index in range(len(by_index))]
    return [str(name) for name in class_names]


def known_names(head: Sequence[Any] | Mapping[Any, Any] | None) -> list[str] | None:
    """The class names of a head; None where they say nothing (`LABEL_0`, `0`)."""
    return telling_names(to_class_names(head))
