"""Ablation: what a network loses when one of its residual blocks is replaced by its shortcut.

Blocks inside a block structure can be dropped with little loss (Nguyen, Raghu & Kornblith 2021); a network
whose blocks refine one representation step by step forgives it too (Veit et al. 2016), so it is advice, not proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cka_plugin import tables
from cka_plugin.analysis.errors.predictions import to_labels
from cka_plugin.analysis.statistics.intervals import check_fraction, tango_interval
from cka_plugin.analysis.statistics.paired import mcnemar


@dataclass(frozen=True)
class AblatedBlock:
    """One block replaced by its shortcut.

    Attributes:
        block: its name.
        path: its module's own path; empty where not given.
        shortcut: what stands in its place: `identity`, `downsample path`, either with `and activation` or `and norm`
            where one follows the addition.
        accuracy: of the network without the block.
        difference: that minus the accuracy of the whole network: negative where the block is needed.
        low: lower limit of the paired interval of the difference (Tango).
        high: upper limit.
        p: exact McNemar test, not corrected over blocks.
        churn: share of examples whose prediction changes.
    """

    block: str
    path: str
    shortcut: str
    accuracy: float
    difference: float
    low: float
    high: float
    p: float
    churn: float


@dataclass(frozen=True)
class KeptBlock:
    """A block that was not replaced, and why."""

    block: str
    path: str
    reason: str


@dataclass(frozen=True)
class Replacement:
    """What stands in the place of a block, in words, and the module's own path."""

    shortcut: str = "identity"
    path: str = ""


@dataclass(frozen=True, repr=False)
class Ablation(tables.Result):
    """Accuracy after each residual block is replaced by its shortcut; made by `ablation_effects`, `cka_plugin.ablate`.

    Attributes:
        blocks: one row a block that was replaced, in the order of the network.
        kept: blocks that could not be, with the reason.
        accuracy: of the whole network.
        chance: share of the most frequent class.
        n_examples: how many examples.
        level: of the intervals.
        model: the model's name.
    """

    blocks: list[AblatedBlock]
    kept: list[KeptBlock]
    accuracy: float
    chance: float
    n_examples: int
    level: float
    model: str = ""

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a block that was replaced."""
        return self.blocks, AblatedBlock

    def __repr__(self) -> str:
        of = f" of {self.model}" if self.model else ""
        lines = [
            (
                f"Ablation{of}: {self.accuracy:.3f} of {self.n_examples} examples are classified rightly by the whole "
                f"network; the most frequent class alone gives {self.chance:.3f}"
            )
        ]
        if self.blocks:
            header = ["without", "replaced by", "accuracy", "difference", "low", "high", "p", "churn"]
            rows = [
                (row.block, row.shortcut, row.accuracy, row.difference, row.low, row.high, row.p, row.churn)
                for row in self.blocks
            ]
            lines.append(tables.text_table(rows, header))
            lines.append(f"low, high: {self.level:.0%} interval; p: exact McNemar; neither is corrected over blocks")
        lines += [f"Not replaced: {kept.block} ({kept.reason})" for kept in self.kept]
        return "\n".join(lines)


def ablation_effects(
    whole: ArrayLike,
    without: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    replacements: Mapping[str, Replacement] | None = None,
    kept: Sequence[KeptBlock] = (),
    level: float = 0.95,
) -> Ablation:
    """The effect of each ablation on the same labelled examples.

    Args:
        whole: (n,) class that the whole network predicts for each example.
        without: for each block, (n,) classes predicted without it.
        labels: (n,) integer classes.
        replacements: what stood in the place of each block; the identity where not said.
        kept: blocks that were not replaced.
        level: of the intervals.

    Raises:
        TypeError, ValueError: labels that are not classes, lengths that differ, or a level outside (0, 1).

    Example:
        >>> found = ablation_effects([0, 1, 1, 0], {"blocks.0": [0, 1, 1, 0], "blocks.1": [0, 0, 0, 0]}, [0, 1, 1, 0])
        >>> [(row.block, row.difference, row.churn) for row in found.blocks]
        [('blocks.0', 0.0, 0.0), ('blocks.1', -0.5, 0.5)]
    """
    check_fraction(level, "level")
    truth = to_labels(labels)
    n = len(truth)
    before = np.asarray(whole)
    rows = []
    for block, given in without.items():
        after = np.asarray(given)
        if before.shape != (n,) or after.shape != (n,):
            raise ValueError(
                f"predictions of shapes {before.shape} and {after.shape} (without {block}) for {n} labels: expected "
                "one class an example"
            )
        right, still = before == truth, after == truth
        gained, lost = int((still & ~right).sum()), int((right & ~still).sum())
        low, high = tango_interval(gained, lost, n, level)
        replaced = (replacements or {}).get(block, Replacement())
        rows.append(
            AblatedBlock(
                block=block,
                path=replaced.path,
                shortcut=replaced.shortcut,
                accuracy=float(still.mean()),
                difference=(gained - lost) / n,
                low=low,
                high=high,
                p=mcnemar(gained, lost),
                churn=float((before != after).mean()),
            )
        )
    _, counts = np.unique(truth, return_counts=True)
    accuracy = float((before == truth).mean())
    return Ablation(rows, list(kept), accuracy, float(counts.max() / n), n, level)
