"""Differences between groups of models held against those between seeds of one group.

A control that splits either group in halves, classes selected by one half of the seeds and re-estimated on the other,
and v² where there is anything beyond seed noise to explain [2010.15327, section 5 and appendix F].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.errors.group_result import HeldOutClass, SeedControl
from cka_plugin.analysis.statistics.class_share import ClassShare
from cka_plugin.analysis.statistics.corrections import Decisions, correct
from cka_plugin.analysis.statistics.permutation import PermutationTest
from cka_plugin.analysis.statistics.welch import welch


def seed_control(
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    by_class: tuple[NDArray[np.float64], NDArray[np.float64]],
    alpha: float,
    splits: int,
    seed: int,
) -> SeedControl:
    """What differs between halves of one group, and between as many seeds of both.

    Args:
        right: of either group (models, n) correctness.
        by_class: of either group (models, classes) accuracies.
        alpha: p, not corrected, at which a class counts as different.
        splits: random halves to average over.
        seed: of the halves.
    """
    right_a, right_b = right
    class_a, class_b = by_class
    half = min(len(right_a), len(right_b)) // 2
    # The mean square gap over all choices of seeds has a closed form: seeds are drawn without replacement.
    noise_a, noise_b = right_a.var(axis=0, ddof=1).mean(), right_b.var(axis=0, ddof=1).mean()
    gap = np.mean((right_a.mean(axis=0) - right_b.mean(axis=0)) ** 2)
    between = gap + noise_a * (1 / half - 1 / len(right_a)) + noise_b * (1 / half - 1 / len(right_b))
    rms = [float(np.sqrt(square)) for square in (between, 2 * noise_a / half, 2 * noise_b / half)]
    if half < 2:
        reason = f"{len(right_a)} and {len(right_b)} models: Welch's test between halves of a group needs 4 in each"
        return SeedControl(half, math.nan, math.nan, math.nan, rms[0], rms[1], rms[2], reason)
    generator = np.random.default_rng(seed)
    found = np.zeros(3)
    for _ in range(splits):
        a = class_a[generator.permutation(len(class_a))]
        b = class_b[generator.permutation(len(class_b))]
        pairs = ((a[:half], b[:half]), (a[:half], a[half : 2 * half]), (b[:half], b[half : 2 * half]))
        found += [np.sum(welch(x, y).p <= alpha) for x, y in pairs]
    found /= splits
    return SeedControl(half, float(found[0]), float(found[1]), float(found[2]), rms[0], rms[1], rms[2])


def held_out(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    names: Sequence[str],
    rules: Decisions,
    seed: int,
) -> list[HeldOutClass]:
    """Classes selected by a random half of the seeds of either group, and their difference on the other half."""
    half_a, half_b = len(a) // 2, len(b) // 2
    if min(half_a, half_b) < 2:
        return []
    generator = np.random.default_rng(seed)
    a, b = a[generator.permutation(len(a))], b[generator.permutation(len(b))]
    chosen = welch(a[:half_a], b[:half_b], rules.level)
    rest = welch(a[half_a:], b[half_b:], rules.level)
    return [
        HeldOutClass(
            name=names[i],
            selected_difference=float(chosen.difference[i]),
            difference=float(rest.difference[i]),
            low=float(rest.low[i]),
            high=float(rest.high[i]),
            p=float(rest.p[i]),
        )
        for i in np.flatnonzero(correct(chosen.p, rules.correction) <= rules.alpha).tolist()
    ]


def gated(share: ClassShare, test: PermutationTest, centred: PermutationTest, alpha: float) -> ClassShare:
    """v² only where there is an example-level difference to explain."""
    reason = share.reason
    if test.smallest_p > alpha:
        reason = (
            f"with so few models the permutation test of single examples cannot reach p <= {alpha:g} "
            f"(smallest possible: {test.smallest_p:.2g})"
        )
    elif test.p > alpha:
        reason = (
            "as far as these seeds can tell, the groups do not differ on single examples beyond seed noise "
            f"(permutation p = {test.p:.2g})"
        )
    elif centred.p > alpha:
        reason = (
            "beyond overall accuracy, and as far as these seeds can tell, the groups do not differ on single examples "
            "more than seeds do "
            f"(permutation p = {centred.p:.2g})"
        )
    return replace(share, v_squared=math.nan, reason=reason) if reason else share
