"""A result in a notebook: sentences, a small table, one picture. All that comes from data or names is escaped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cka_plugin.notebook.images import Shown
from cka_plugin.tables import short
from cka_plugin.wording import for_html

MOST_ROWS = 10
_LONGEST = 100  # characters of a cell: ids may be whole texts
_SENTENCE = 600


def card(
    title: str,
    sentences: Sequence[str] = (),
    header: Sequence[str] = (),
    rows: Sequence[Sequence[object]] = (),
    picture: Shown | None = None,
) -> str:
    """HTML for `_repr_html_`.

    Args:
        title: the first line.
        sentences: under it.
        header: of the table; none without.
        rows: of the table, the first 10 of which are shown.
        picture: beside it.

    Example:
        >>> card("<net>", header=["layer", "CKA"], rows=[["stem", 0.5]]).count("&lt;net&gt;")
        1
    """
    parts = [f"<strong>{_text(title, _SENTENCE)}</strong>"]
    parts += [f"<div>{_text(sentence, _SENTENCE)}</div>" for sentence in sentences]
    shown = [_table(header, rows)] if header else []
    if picture is not None:
        shown.append(
            f'<figure style="margin:0"><img src="{picture.source}" width="{picture.width}" height="{picture.height}" '
            f'alt="{_text(picture.told, _SENTENCE)}" style="image-rendering:pixelated;max-width:100%;height:auto">'
            f"<figcaption>{_text(picture.told, _SENTENCE)}</figcaption></figure>"
        )
    beside = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start;margin-top:.5em"
    return f'<div class="cka-plugin">{"".join(parts)}<div style="{beside}">{"".join(shown)}</div></div>'


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    numeric = [
        bool(rows) and all(isinstance(row[column], int | float | np.number) for row in rows)
        for column in range(len(header))
    ]
    sides = ["right" if right else "left" for right in numeric]
    head = "".join(
        f'<th scope="col" style="text-align:{side};padding:0 .5em">{_text(name, _LONGEST)}</th>'
        for name, side in zip(header, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:{side};padding:0 .5em">{_text(short(value), _LONGEST)}</td>'
            for value, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f"<div>... and {len(rows) - MOST_ROWS} more</div>" if len(rows) > MOST_ROWS else ""
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"


def _text(value: object, longest: int) -> str:
    text = str(value)
    return for_html(text if len(text) <= longest else f"{text[: longest - 3]}...")
