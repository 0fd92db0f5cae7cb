"""Which rows of an activation belong to an example: those that move when the examples come in another order.

A model runs twice over one minibatch, with the examples as they are and in another order. Wherever the rows of the
examples lie (on which axis, and how several rows of one example lie on it), there the second activation is the first
one, rearranged. Sizes alone tell nothing: a minibatch may have as many examples as there are channels or steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NUMBERS = 2**15  # kept of an activation and axis, in from 4 to 64 sums a row: sums with random signs keep distances
EXACT = 1e-3  # share of the variance over examples that a reading may leave unexplained,
MARGIN = 100.0  # if every other one leaves so many times more
ROUNDING = 1e-7  # than it, or than this
LEAST = 0.1  # share to be explained where a model draws random numbers, and they are more than added to the examples;
DEVIATIONS = 4.0  # so many standard deviations above what wrong orders explain,
ORDERS = 40  # of so many of them,
CLEARLY = 2.0  # and so many times what any other reading does
CONSTANT = 2.0**-36  # variance over examples against mean square: below it there is but rounding
LEAST_PLACE = 1e-6  # share of the variance at one of an example's places, below which it is not asked whether it moves


@dataclass(frozen=True)
class Reading:
    """Where the rows of the examples lie in an output.

    Attributes:
        tensor: which of the tensors that the module returned.
        axis: of that tensor.
        outer, inner: the axis holds `outer * n * inner` rows: example i has those at `(a * n + i) * inner + b`.
        settled: False where all examples gave the same, so that nothing moved.

    Example:
        >>> frames = torch.arange(6).view(6, 1)  # 2 examples of 3 frames, example by example
        >>> Reading(inner=3).take(frames, 2).squeeze(-1).tolist(), Reading(outer=3).take(frames, 2).squeeze(-1).tolist()
        ([[0, 1, 2], [3, 4, 5]], [[0, 2, 4], [1, 3, 5]])
    """

    tensor: int = 0
    axis: int = 0
    outer: int = 1
    inner: int = 1
    settled: bool = True

    @property
    def plain(self) -> bool:
        """Whether each example has one row, on the first axis of the first tensor."""
        return (self.tensor, self.axis, self.outer, self.inner) == (0, 0, 1, 1)

    @property
    def gathers(self) -> bool:
        """Whether an example has several rows, which become an axis of their own, after that of the examples."""
        return self.outer * self.inner > 1

    def fitted(self, x: Tensor, n: int) -> Reading | None:
        """The same reading of another minibatch, of n examples, in which an example may have another number of rows.

        None where the rows do not go up in the examples.
        """
        if self.axis >= x.ndim or x.shape[self.axis] % n or not x.numel():
            return None
        places = x.shape[self.axis] // n
        if places == self.outer * self.inner:
            return self
        if self.inner > 1 and self.outer == 1:
            return replace(self, inner=places)
        if self.outer > 1 and self.inner == 1:
            return replace(self, outer=places)
        return None

    def take(self, x: Tensor, n: int) -> Tensor:
        """(n, ...) the activation with the examples first, several rows of one on the second axis."""
        if self.axis:
            x = x.movedim(self.axis, 0)
        if not self.gathers:
            return x
        split = x.unflatten(0, (self.outer, n, self.inner)).transpose(0, 1)
        return split.flatten(1, 2)

    def taken_axes(self, axes: Iterable[int]) -> tuple[int, ...]:
        """Where other axes of the tensor lie after `take`.

        Example:
            >>> Reading(axis=1).taken_axes([0, 2]), Reading(inner=3).taken_axes([1])
            ((1, 2), (2,))
        """
        return tuple(axis + (axis < self.axis) + self.gathers for axis in axes if axis != self.axis)

    def described(self) -> str:
        """For people.

        Example:
            >>> Reading(axis=1).described(), Reading(outer=2).described()
            ('axis 1', 'axis 0, 2 rows an example, n apart')
        """
        words = [f"tensor {self.tensor}"] * (self.tensor > 0) + [f"axis {self.axis}"]
        if self.gathers:
            rows = f"{self.outer * self.inner} rows an example"
            together = "side by side" if self.outer == 1 else "n apart" if self.inner == 1 else f"{self.inner} by "
            words.append(f"{rows}, {together}{self.inner if together.endswith('by ') else ''}")
        return ", ".join(words)


def candidates(shape: torch.Size, n: int) -> Iterator[Reading]:
    """Every way in which an activation of this shape could hold n examples.

    Example:
        >>> [(r.axis, r.outer, r.inner) for r in candidates(torch.Size([8, 4, 3]), 4)]
        [(0, 1, 2), (0, 2, 1), (1, 1, 1)]
    """
    for axis, size in enumerate(shape):
        if size and size % n == 0:
            places = size // n
            for outer in range(1, places + 1):
                if places % outer == 0:
                    yield Reading(0, axis, outer, places // outer)


@dataclass(frozen=True)
class Sketch:
    """What is kept of an activation: its shape, and for each axis that could hold the examples a few sums a row."""

    shape: torch.Size
    rows: dict[int, Tensor]


def sketch(x: Tensor, n: int) -> Sketch:
    """Sums with random signs along all other axes, (size of the axis, 4 to 64) each: they keep distances of rows."""
    return Sketch(x.shape, {reading.axis: _sums(x, reading.axis) for reading in candidates(x.shape, n)})


def _sums(x: Tensor, axis: int) -> Tensor:
    rows = x.movedim(axis, 0).flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    rows = rows if rows.dtype == torch.float64 else rows.float()
    if not bool(torch.isfinite(rows).all()):  # such a layer becomes NaN, but its rows may still tell where they are
        rows = torch.nan_to_num(rows, 0.0, 0.0, 0.0)
    width = rows.shape[1]
    kept = max(1, min(width, max(4, min(64, NUMBERS // len(rows)))))
    signs = torch.randint(0, 2, (width,), generator=torch.Generator().manual_seed(width), dtype=torch.int8)
    rows = rows * (signs * 2 - 1).to(rows)
    rows = torch.nn.functional.pad(rows, (0, -width % kept))
    return rows.view(len(rows), -1, kept).sum(1, dtype=torch.float64).cpu()


def judge(first: Sketch, second: Sketch, order: Tensor, random: bool = False) -> Reading | str:
    """Where the rows of the examples lie, or why that cannot be told.

    A reading is right where the second activation is the first one, rearranged; or, since a model may draw the same
    random numbers for each place again, where the difference of the two turns around as the examples change places.

    Args:
        first: of an activation.
        second: of the same with example `order[i]` in the place of example i.
        order: (n,) as `exchanged` or `doubled` give it.
        random: whether the model draws random numbers, or computes in half precision.
    """
    n, shape = len(order), tuple(first.shape)
    if first.shape != second.shape:
        return f"its output had shape {shape}, but {tuple(second.shape)} with the same examples in another order"
    possible = list(candidates(first.shape, n))
    if not possible:
        return f"no axis of its output, {shape}, holds the {n} examples of the minibatch"
    exchange = len(set(order.tolist())) == n
    kinds = [_rearranged, _turned_around] if exchange else [_rearranged]
    for kind in kinds:
        fits = sorted((kind(reading, first, second, order) for reading in possible), key=lambda fit: fit.left)
        others = min((fit.left for fit in fits[1:]), default=math.inf)
        if fits[0].left <= EXACT:
            if others <= MARGIN * max(fits[0].left, ROUNDING):
                both = " as along ".join(sorted({fit.reading.described() for fit in fits[:2]}))
                return f"the rows of its output, {shape}, move with the examples along {both}"
            if not fits[0].everywhere(EXACT * MARGIN):
                return f"only some rows of its output, {shape}, move with the examples"
            return fits[0].reading
    if random and exchange and _clearly(fits[0], others, first, second, order):
        return fits[0].reading
    still = next((reading for reading in possible if _rearranged(reading, first, second, order).constant), None)
    if still is not None:
        return replace(still, settled=False)
    hidden = ", or random numbers hide it: larger minibatches may tell" if random else ""
    return f"no rows of its output, {shape}, move with the {n} examples when these come in another order{hidden}"


@dataclass(frozen=True)
class _Fit:
    """How well a reading explains what became of an activation.

    Attributes:
        left: share of the variance left unexplained; 1 is chance, inf where there is no variance.
        by_place: (places,) the same at each of an example's places; 0 where there is no variance worth the name.
        constant: whether nothing varies from example to example.
    """

    reading: Reading
    left: float
    by_place: Tensor
    constant: bool

    def everywhere(self, most: float) -> bool:
        return bool((self.by_place <= most).all())


def _rearranged(reading: Reading, first: Sketch, second: Sketch, order: Tensor) -> _Fit:
    """Whether the second activation is the first one, rearranged."""
    a, b = _rows(first, reading, len(order)), _rows(second, reading, len(order))
    varies = _varies(a) | _varies(b)
    a = a[order]
    a, b = a - a.mean(0), b - b.mean(0)
    return _fit(reading, (a - b).square(), a.square() + b.square(), varies)


def _turned_around(reading: Reading, first: Sketch, second: Sketch, order: Tensor) -> _Fit:
    """Whether what one example of a pair gains by changing places is what the other one loses."""
    a, b = _rows(first, reading, len(order)), _rows(second, reading, len(order))
    pairs = order[order] == torch.arange(len(order))  # not the circle of three
    change, other = (b - a)[pairs], (b - a)[order][pairs]
    change, other = change - change.mean(0), other - other.mean(0)
    varies = change.square().sum((0, 2)) > CONSTANT * a.square().sum((0, 2))
    fit = _fit(reading, (change + other).square(), change.square() + other.square(), varies)
    still = _varies(a) & (fit.by_place == 0) & ~varies  # rows that differ, but do not follow the examples
    return replace(fit, by_place=torch.where(still, torch.ones_like(fit.by_place), fit.by_place))


def _fit(reading: Reading, left: Tensor, variance: Tensor, varies: Tensor) -> _Fit:
    left, variance = left.sum((0, 2)), variance.sum((0, 2))
    total = float(variance.sum())
    if not bool(varies.any()) or total == 0.0:
        return _Fit(reading, math.inf, torch.zeros_like(left), True)
    faint = (variance <= LEAST_PLACE * variance.mean()) | ~varies
    by_place = torch.where(faint, torch.zeros_like(left), left / variance)
    return _Fit(reading, float(left.sum()) / total, by_place, False)


def _rows(sketched: Sketch, reading: Reading, n: int) -> Tensor:
    """(n, places, sums)."""
    rows = sketched.rows[reading.axis]
    return rows.view(reading.outer, n, reading.inner, -1).transpose(0, 1).flatten(1, 2)


def _varies(rows: Tensor) -> Tensor:
    """(places,) whether there is more than rounding between the examples."""
    spread = (rows - rows.mean(0)).square().sum((0, 2))
    return spread > CONSTANT * rows.square().sum((0, 2))


def _clearly(best: _Fit, others: float, first: Sketch, second: Sketch, order: Tensor) -> bool:
    """Whether a reading explains more than chance, and more than any other, though random numbers hide the examples."""
    explained = 1 - best.left
    if explained < max(LEAST, CLEARLY * (1 - others)) or not best.everywhere(1 - explained / 4):
        return False
    generator = torch.Generator().manual_seed(len(order))
    chance = []
    for _ in range(ORDERS):
        names = torch.randperm(len(order), generator=generator)
        wrong = torch.empty_like(order)
        wrong[names] = names[order]  # as regular as the order that was
        chance.append(_turned_around(best.reading, first, second, wrong).left)
    left = torch.tensor(chance)
    return float(left.mean() - best.left) >= DEVIATIONS * float(left.std())
