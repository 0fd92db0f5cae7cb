"""Which layer of one model corresponds to which of another, and how sure that is.

The best match of a layer is the layer of the other model with the largest CKA. Neighbouring layers resemble one
another, so the runner-up is named beside it, and whether a paired jackknife can tell the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.difference import Difference, difference
from cka_plugin.core import MIN_MINIBATCHES, Floats, Sums
from cka_plugin.tables import Result, text_table
from cka_plugin.wording import listed

UNLIKE = 0.3  # CKA below which a best match is no resemblance: a convention, not a test


class NamedLayer(Protocol):
    """What is asked of a layer: its name and its relative depth in [0, 1]."""

    @property
    def name(self) -> str:
        """Common name."""

    @property
    def depth(self) -> float:
        """Relative depth."""


@dataclass(frozen=True)
class Match:
    """A layer of `a` and the layer of `b` most like it.

    Attributes:
        layer: name of the layer of `a`.
        depth: its relative depth.
        match: name of its best match; None for a layer without finite similarity, and then the numbers are NaN.
        match_depth: its relative depth.
        cka: their CKA.
        low: lower end of its interval; NaN where there are fewer than 8 minibatches.
        high: upper end.
        runner_up: the second best; None where `b` has one layer.
        runner_up_cka: its CKA.
        margin_low: lower end of the interval of `cka - runner_up_cka`, jackknifed as a difference.
        margin_high: upper end.
        tied: whether that interval holds 0; None where there is none.
        equal_depth: whether no layer of `b` is nearer in relative depth than the best match.
        unlike: whether nothing in `b` resembles the layer: the interval of the best match, or without one the match
            itself, lies below 0.3.
        verdict: `clear` (these examples tell the best match from the runner-up; another training run may still have
            another: among ten seeds of one network a third of clear matches were not at the same place,
            `examples/studies/sanity_task`), `tied`, `unlike`, `inconclusive` (see `Correspondence.inconclusive`), or
            `none` for a layer without similarity.
        sketch_error: standard error of the CKA that comes of sketches (`sketch=`); 0 without them.
    """

    layer: str
    depth: float
    match: str | None
    match_depth: float
    cka: float
    low: float
    high: float
    runner_up: str | None
    runner_up_cka: float
    margin_low: float
    margin_high: float
    tied: bool | None
    equal_depth: bool
    unlike: bool
    verdict: str = "none"
    sketch_error: float = 0.0


@dataclass(frozen=True, repr=False)
class Correspondence(Result):
    """For each layer of one model the most similar layer of another.

    Attributes:
        matches: one a layer of `a`.
        share_at_equal_depth: of the layers of `a` with a match, those whose best match is the layer of `b` at equal
            relative depth.
        share_by_chance: the same for matches drawn at random.
        only_in_a: layers of `a` that nothing in `b` resembles.
        only_in_b: layers of `b` that nothing in `a` resembles.
        inconclusive: why matches are, and what would settle it, a sentence each.
    """

    matches: list[Match]
    share_at_equal_depth: float
    share_by_chance: float
    only_in_a: list[str]
    only_in_b: list[str]
    inconclusive: list[str] = field(default_factory=list)

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a layer of `a`."""
        return self.matches, Match

    def __repr__(self) -> str:
        sketched = any(m.sketch_error > 0 for m in self.matches)
        header = ["layer", "best match", "CKA", "low", "high", "runner-up", "CKA of it", "tied"]
        header[3:3] = ["+- of sketch"] * sketched
        rows = [
            (
                *(m.layer, m.match or "-", m.cka),
                *([f"{m.sketch_error:.4f}"] if sketched else []),
                *(m.low, m.high, m.runner_up or "-", m.runner_up_cka, _tied(m)),
            )
            for m in self.matches
        ]
        lines = [text_table(rows, header)]
        if math.isfinite(self.share_at_equal_depth):
            lines.append(
                f"{self.share_at_equal_depth:.0%} of best matches lie at equal relative depth "
                f"({self.share_by_chance:.0%} if matches were drawn at random)"
            )
        for name, layers in (("first", self.only_in_a), ("second", self.only_in_b)):
            if layers:
                lines.append(
                    f"only in the {name} model: {', '.join(layers)} (best CKA below {UNLIKE}: a convention, not a test)"
                )
        lines += [f"?: inconclusive. {sentence}" for sentence in self.inconclusive]
        return "\n".join(lines)


def _tied(match: Match) -> str:
    return "?" if match.verdict == "inconclusive" else "yes" if match.tied else ""


def correspondence(
    sums: Sums,
    layers_a: Sequence[NamedLayer],
    layers_b: Sequence[NamedLayer],
    level: float = 0.95,
    alone: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None = None,
) -> Correspondence:
    """Best match, runner-up and their certainty for each layer of a model.

    The interval is that of the CKA of the pair found best: the largest of many is a little too large, the more so the
    fewer the examples.

    Args:
        sums: inner products per minibatch of the two models' layers.
        layers_a: layers of the first model, with `name` and `depth`.
        layers_b: of the second.
        level: of the intervals.
        alone: for both models, which layers are made by examples alone in their minibatches: `alone_in_minibatches`.

    Raises:
        ValueError: layers that do not fit the sums, or a level outside (0, 1).
    """
    shape = sums.xy.shape[1:]
    if shape != (len(layers_a), len(layers_b)):
        raise ValueError(
            f"sums of {shape[0]} by {shape[1]} layers, but {len(layers_a)} and {len(layers_b)} layers named"
        )
    matrix = sums.cka()
    low, high = sums.interval(level)
    matches, by_chance = [], []
    for row, layer in enumerate(layers_a):
        finite = np.isfinite(matrix[row])
        if finite.any():
            by_chance.append((_nearest(layer, layers_b) & finite).sum() / finite.sum())
        matches.append(_match(sums, row, (layer, layers_b), (matrix, low, high), level))
    unseen = (np.zeros(shape[0], dtype=bool), np.zeros(shape[1], dtype=bool)) if alone is None else alone
    minibatches = int(sums.first_pass.sum())
    errors = sums.sketch_error()
    matches = [
        replace(match, verdict=_verdict(match, minibatches, hidden), sketch_error=_of_match(match, row, layers_b))
        for match, hidden, row in zip(matches, unseen[0], errors, strict=True)
    ]
    matched = [match for match in matches if match.match is not None]
    return Correspondence(
        matches=matches,
        share_at_equal_depth=float(np.mean([match.equal_depth for match in matched])) if matched else math.nan,
        share_by_chance=float(np.mean(by_chance)) if by_chance else math.nan,
        only_in_a=[match.layer for match in matched if match.unlike],
        only_in_b=[layer.name for column, layer in enumerate(layers_b) if _unlike(matrix[:, column], high[:, column])],
        inconclusive=[*_too_few(minibatches), *_hidden((layers_a, layers_b), unseen)],
    )


def _of_match(match: Match, row: Floats, layers_b: Sequence[NamedLayer]) -> float:
    names = [layer.name for layer in layers_b]
    return math.nan if match.match is None else float(row[names.index(match.match)])


def _verdict(match: Match, minibatches: int, hidden: np.bool_) -> str:
    if match.match is None:
        return "none"
    if minibatches < MIN_MINIBATCHES or hidden:
        return "inconclusive"
    return "unlike" if match.unlike else "tied" if match.tied else "clear"


def _too_few(minibatches: int) -> Iterator[str]:
    if minibatches < MIN_MINIBATCHES:
        yield (
            f"Without intervals a best match is not told from the runner-up: {minibatches} minibatches where it takes "
            f"{MIN_MINIBATCHES}; give more examples, or smaller minibatches"
        )


def _hidden(
    layers: tuple[Sequence[NamedLayer], Sequence[NamedLayer]],
    unseen: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
) -> Iterator[str]:
    for place, named, hidden in zip(("first", "second"), layers, unseen, strict=True):
        if hidden.any():
            names = listed([layer.name for layer, alone in zip(named, hidden, strict=True) if alone], 6)
            yield (
                f"Most of the variance of layers of the {place} model ({names}) lies in examples that are alone in "
                "their minibatches, where CKA does not see it: larger minibatches would settle it"
            )


def _nearest(layer: NamedLayer, others: Sequence[NamedLayer]) -> npt.NDArray[np.bool_]:
    """Which layers of the other model are nearest in relative depth."""
    distance = np.abs(np.array([other.depth for other in others]) - layer.depth)
    return np.isclose(distance, distance.min(), rtol=0, atol=1e-9)


def _match(
    sums: Sums,
    row: int,
    layers: tuple[NamedLayer, Sequence[NamedLayer]],
    estimates: tuple[Floats, Floats, Floats],
    level: float,
) -> Match:
    layer, layers_b = layers
    values, low, high = (part[row] for part in estimates)
    order = [int(i) for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]
    nan = math.nan
    if not order:
        return Match(layer.name, layer.depth, None, nan, nan, nan, nan, None, nan, nan, nan, None, False, False)
    best = order[0]
    runner_up = order[1] if len(order) > 1 else None
    margin = Difference(nan, nan, nan, nan)
    if runner_up is not None:
        margin = difference(sums, (row, best), sums, (row, runner_up), level)
    return Match(
        layer=layer.name,
        depth=layer.depth,
        match=layers_b[best].name,
        match_depth=layers_b[best].depth,
        cka=float(values[best]),
        low=float(low[best]),
        high=float(high[best]),
        runner_up=None if runner_up is None else layers_b[runner_up].name,
        runner_up_cka=nan if runner_up is None else float(values[runner_up]),
        margin_low=margin.low,
        margin_high=margin.high,
        tied=None if math.isnan(margin.low) else margin.low <= 0,
        equal_depth=bool(_nearest(layer, layers_b)[best]),
        unlike=_unlike(values, high),
    )


def _unlike(values: Floats, high: Floats) -> bool:
    if not np.isfinite(values).any():
        return False
    best = int(np.nanargmax(values))
    return bool((high[best] if np.isfinite(high[best]) else values[best]) < UNLIKE)
