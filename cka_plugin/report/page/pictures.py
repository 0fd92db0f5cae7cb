"""Examples as the page shows them: small pictures, the beginning of a text, or nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

from cka_plugin.report.seen import seen

SIDE = 72  # pixels of the longer side
MOST = 1500  # pictures in a page: some 3 MB
SMALL = 2000  # bytes of a PNG that need not become a JPEG


def picture_of(example: Any) -> dict[str, str] | None:
    """A picture or text of one example; None where it is neither.

    Example:
        >>> picture_of("a text"), picture_of(3.0)
        ({'text': 'a text'}, None)
    """
    shown = seen(example, SIDE)
    if shown is None:
        return None
    return {"text": shown} if isinstance(shown, str) else {"image": _embedded(shown)}


def chosen(wanted: Iterable[Sequence[int]], most: int = MOST) -> list[int]:
    """Which examples to show, where there are many lists of those that could be: the first of every list first.

    Example:
        >>> chosen([[1, 2, 3], [4, 2]], most=3)
        [1, 4, 2]
    """
    lists = [list(one) for one in wanted]
    found: dict[int, None] = {}
    for rank in range(max(map(len, lists), default=0)):
        for one in lists:
            if rank < len(one) and len(found) < most:
                found.setdefault(one[rank])
    return list(found)


def _embedded(image: Any) -> str:
    """A picture as a data URI: PNG where that is small (drawings, digits), else JPEG."""
    content = _saved(image, "png", optimize=True)
    kind = "png" if len(content) <= SMALL else "jpeg"
    content = content if kind == "png" else _saved(image, "jpeg", quality=72, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()
