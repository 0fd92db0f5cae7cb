"""Small pictures as data of a page: a matrix as PNG; bars, or points with intervals, as SVG."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cka_plugin.wording import for_html, number

# 17 stops of viridis (Smith & van der Walt 2015, CC0): even to the eye, told apart by colour-blind readers.
_VIRIDIS = "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725"
_SIDE = 260  # pixels
_OUTLINE = (255, 60, 60)
_GREY = (190, 190, 190)
_LONGEST = 28  # characters of a name beside a bar
_ROW, _LEFT, _RIGHT, _WIDE = 18, 190, 60, 480  # pixels


@dataclass(frozen=True)
class Shown:
    """A picture.

    Attributes:
        source: a data URI.
        width: in pixels.
        height: in pixels.
        told: what it shows, for those who do not see it, and under it.
    """

    source: str
    width: int
    height: int
    told: str


def matrix_image(matrix: NDArray[np.float64], told: str, runs: Sequence[tuple[int, int]] = ()) -> Shown | None:
    """A matrix of similarities, the first row at the bottom; grey where there is none. None for an empty one.

    Colours span what there is in round tenths, which `told` is followed by.

    Args:
        matrix: (rows, columns).
        told: what it shows.
        runs: (first, past the last) along the diagonal, to be outlined.

    Example:
        >>> matrix_image(np.eye(3), "CKA of 3 layers").told
        'CKA of 3 layers: from 0.0 (violet) to 1.0 (yellow)'
    """
    from PIL import Image

    finite = matrix[np.isfinite(matrix)]
    if not matrix.size:
        return None
    low = math.floor(float(finite.min()) * 10 + 1e-6) / 10 if finite.size else 0.0
    high = max(math.ceil(float(finite.max()) * 10 - 1e-6) / 10, low + 0.1) if finite.size else 1.0
    scale = max(1, round(_SIDE / max(matrix.shape)))
    colours = _colours((matrix - low) / (high - low))[::-1].repeat(scale, axis=0).repeat(scale, axis=1)
    rows = len(matrix)
    for first, stop in runs:
        _outline(colours, ((rows - stop) * scale, (rows - first) * scale), (first * scale, stop * scale))
    picture = Image.fromarray(colours)
    if max(picture.size) > 2 * _SIDE:
        picture.thumbnail((2 * _SIDE, 2 * _SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    said = f"{told}: from {number(low, 1)} (violet) to {number(high, 1)} (yellow)"
    said += "" if np.isfinite(matrix).all() else ", grey: undefined"
    return Shown(_uri("png", file.getvalue()), picture.width, picture.height, said)


@dataclass(frozen=True)
class Bar:
    """A row of a picture: a value, perhaps with an interval and a mark.

    Attributes:
        name: beside it.
        value: NaN where there is none.
        low: lower end of its interval; NaN without.
        high: upper end.
        mark: where a tick stands, such as a threshold; NaN without.
        stressed: drawn in another colour.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    mark: float = math.nan
    stressed: bool = False


def bars_image(rows: Sequence[Bar], told: str, points: bool = False) -> Shown | None:
    """Bars from 0, or points with intervals, one row each, their names at the left. None without rows.

    Args:
        rows: from above; no more than fit, so that whoever calls chooses.
        told: what they show.
        points: points in place of bars.
    """
    if not rows:
        return None
    known = [x for row in rows for x in (row.value, row.low, row.high, row.mark) if math.isfinite(x)]
    known += [] if points and known else [0.0]
    low, high = min(known), max(known)
    span = high - low if high > low else 1.0

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / span * (_WIDE - _LEFT - _RIGHT), 1)

    height = _ROW * len(rows) + 8
    parts = [f'<rect width="{_WIDE}" height="{height}" fill="white"/>']
    if low <= 0.0 <= high:
        parts.append(f'<line x1="{x(0)}" x2="{x(0)}" y1="2" y2="{height - 2}" stroke="#999"/>')
    for place, row in enumerate(rows):
        parts += _row(row, _ROW * place + 4, x, points)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{height}" viewBox="0 0 {_WIDE} {height}" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )
    return Shown(_uri("svg+xml", svg.encode("utf-8")), _WIDE, height, told)


def _row(row: Bar, top: int, x: Callable[[float], float], points: bool) -> list[str]:
    middle, colour = top + _ROW // 2, "#d55e00" if row.stressed else "#3b6ea5"  # told apart by colour-blind readers
    name = row.name if len(row.name) <= _LONGEST else f"{row.name[: _LONGEST - 3]}..."
    parts = [f'<text x="{_LEFT - 8}" y="{middle + 4}" text-anchor="end">{for_html(name)}</text>']
    parts.append(f'<text x="{_WIDE - _RIGHT + 8}" y="{middle + 4}">{number(row.value)}</text>')
    if math.isfinite(row.low) and math.isfinite(row.high):
        ends = f'x1="{x(row.low)}" x2="{x(row.high)}"'
        parts.append(f'<line {ends} y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="2"/>')
    if math.isfinite(row.mark):
        ends = f'x1="{x(row.mark)}" x2="{x(row.mark)}"'
        parts.append(f'<line {ends} y1="{top + 2}" y2="{top + _ROW - 2}" stroke="black" stroke-width="2"/>')
    if math.isfinite(row.value) and points:
        parts.append(f'<circle cx="{x(row.value)}" cy="{middle}" r="4" fill="{colour}"/>')
    elif math.isfinite(row.value):
        left, right = sorted((x(0), x(row.value)))
        size = f'width="{round(right - left, 1)}" height="{_ROW - 6}"'
        parts.insert(0, f'<rect x="{left}" y="{top + 3}" {size} fill="{colour}"/>')
    return parts


def _colours(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(rows, columns, 3) of numbers from 0 to 1; grey for NaN."""
    stops = np.array([list(bytes.fromhex(_VIRIDIS[i : i + 6])) for i in range(0, len(_VIRIDIS), 6)], dtype=np.float64)
    places = np.linspace(0.0, 1.0, len(stops))
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    colours = np.stack([np.interp(filled, places, stops[:, channel]) for channel in range(3)], axis=-1)
    return np.where(known[..., None], np.rint(colours), _GREY).astype(np.uint8)


def _outline(colours: NDArray[np.uint8], rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """A frame two pixels wide."""
    inside = colours[rows[0] : rows[1], columns[0] : columns[1]]
    for edge in (inside[:2], inside[-2:], inside[:, :2], inside[:, -2:]):
        edge[...] = _OUTLINE


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
