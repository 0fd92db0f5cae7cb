"""Examples without any text: named, and left out where the user says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cka_plugin.data.content import Content
from cka_plugin.data.numbers import Ints
from cka_plugin.data.roles import meant


def without_empty(content: Content, on_error: str, what: str, ids: Sequence[Any] | None = None) -> tuple[Content, Ints]:
    """The examples that hold some text, where they are texts, and their places.

    Raises:
        OSError: an example has none, and `on_error` is `raise`.
    """
    texts = [member.values for member in meant(content).members if member.kind == "text"]
    everywhere = np.arange(content.n)
    if not texts:
        return content, everywhere
    empty = [place for place in range(content.n) if any(_is_empty(values[place]) for values in texts)]
    if not empty:
        return content, everywhere
    if on_error == "raise":
        names = ", ".join(str(place if ids is None else ids[place]) for place in empty[:5])
        raise OSError(
            f"{what}: {len(empty)} of {content.n} texts are empty or missing, such as that of example {names}: give "
            "on_error='skip' to leave such examples out"
        )
    kept = np.array([place for place in everywhere if place not in set(empty)], dtype=np.int64)
    return content.take(kept), kept


def _is_empty(text: Any) -> bool:
    return text is None or (isinstance(text, str) and not text.strip())
