"""Which families of models lie together, and whether beyond what size and accuracy explain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.families.structure_result import Families, Family, FamilyPair
from cka_plugin.analysis.statistics.corrections import correct
from cka_plugin.analysis.statistics.partial_mantel import partial_mantel, residuals
from cka_plugin.analysis.statistics.permutation import PermutationTest, p_value, symmetric_pairs, undefined
from cka_plugin.core import Floats
from cka_plugin.wording import listed

LEAST = 4  # models of which a test can say anything
_TIE = 1e-9  # dealings that give the same number up to rounding count as equal to it


def find_families(
    similarity: Floats,
    names: Sequence[str],
    families: Mapping[str, str],
    controls: Mapping[str, Mapping[str, float]],
    permutations: int = 999,
    seed: int = 0,
) -> Families:
    """Families of models, and what of their similarity is due to their families.

    Args:
        similarity: (models, models), as `Comparison.models` gives it.
        names: of the models.
        families: of each model.
        controls: what a difference between two models may be due to besides: for each, a number a model.
        permutations: of the models, drawn at random.
        seed: of the draws.

    Raises:
        ValueError: fewer than two families, or no family of two models.
    """
    values = np.asarray(similarity, dtype=np.float64)
    left_out = {
        name: "no similarity to other models"
        for name, row in zip(names, np.isfinite(values), strict=True)
        if row.sum() <= len(names) / 2
    }
    kept = [place for place, name in enumerate(names) if name not in left_out]
    while not np.isfinite(values[np.ix_(kept, kept)]).all():
        worst = kept[int(np.isnan(values[np.ix_(kept, kept)]).sum(1).argmax())]
        left_out[names[worst]] = "no similarity to some models"
        kept.remove(worst)
    chosen = [families[names[place]] for place in kept]
    of_several = [name for name in dict.fromkeys(chosen) if chosen.count(name) > 1]
    if len(set(chosen)) < 2 or not of_several:
        raise ValueError(
            f"{len(kept)} models of {len(set(chosen))} families ({listed(sorted(set(chosen)), 6)}): expected two "
            "families or more, one of them of two models"
        )
    matrix = symmetric_pairs(values[np.ix_(kept, kept)], "similarity")
    every = list(dict.fromkeys(chosen))
    members = np.array([[one == name for name in every] for one in chosen], dtype=np.float64)
    dealt = _dealt(matrix, members, permutations, seed)
    beyond, p_beyond, held = _beyond(matrix, members, [names[place] for place in kept], controls, (permutations, seed))
    return _assembled(dealt, (every, members), (beyond, p_beyond), tuple(controls), left_out | held)


@dataclass(frozen=True)
class _Means:
    """Mean similarities of a dealing of models to families.

    Attributes:
        pairs: (families, families), on the diagonal within; NaN within families of one.
        others: (families,) of a family's models with all others.
        gap: mean of all pairs within minus mean of all between.
    """

    pairs: Floats
    others: Floats
    gap: float

    @property
    def gaps(self) -> Floats:
        """(families,) mean within each minus mean with all others; NaN of families of one."""
        return np.asarray(np.diagonal(self.pairs) - self.others)


def _means(matrix: Floats, members: NDArray[np.float64]) -> _Means:
    sums = members.T @ (matrix @ members)  # the diagonal of `matrix` is zero
    sizes = members.sum(0)
    counts = np.outer(sizes, sizes) - np.diag(sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = sums / counts
        apart = sums.sum(1) - np.diagonal(sums)
        others = apart / (sizes * (sizes.sum() - sizes))
        within = np.trace(sums) / np.trace(counts)
        between = (sums.sum() - np.trace(sums)) / (counts.sum() - np.trace(counts))
    return _Means(pairs, others, float(within - between))


@dataclass(frozen=True)
class _Dealt:
    """What was observed, and how it stands among models dealt to families of the same sizes at random.

    Attributes:
        means: as observed.
        gap: the test of `means.gap`.
        p: (families,) of the gap between a family's models and all others; NaN of families of one.
        p_pairs: (families, families) of the similarity of two families.
    """

    means: _Means
    gap: PermutationTest
    p: Floats
    p_pairs: Floats


def _dealt(matrix: Floats, members: NDArray[np.float64], permutations: int, seed: int) -> _Dealt:
    observed, generator = _means(matrix, members), np.random.default_rng(seed)
    own, pairs = observed.gaps, observed.pairs
    gaps = np.empty(permutations)
    reached, reached_pairs = np.zeros(own.shape), np.zeros(pairs.shape)
    for draw in range(permutations):
        found = _means(matrix, members[generator.permutation(len(matrix))])
        gaps[draw] = found.gap
        reached += found.gaps >= own - _TIE
        reached_pairs += found.pairs >= pairs - _TIE
    p = p_value(observed.gap, gaps, exact=False)
    test = PermutationTest(observed.gap, p, 1 / (permutations + 1), permutations, False)
    each = np.where(np.isfinite(own), (1 + reached) / (1 + permutations), np.nan)
    return _Dealt(observed, test, each, (1 + reached_pairs) / (1 + permutations))


def _beyond(
    matrix: Floats,
    members: NDArray[np.float64],
    names: Sequence[str],
    controls: Mapping[str, Mapping[str, float]],
    draws: tuple[int, int],
) -> tuple[PermutationTest, Floats, dict[str, str]]:
    """The partial Mantel test, p of each family in what the controls leave, and the models these lack."""
    lacking = {
        name: f"its {control} is not known"
        for control, known in controls.items()
        for name in names
        if not math.isfinite(known.get(name, math.nan))
    }
    kept = [place for place, name in enumerate(names) if name not in lacking]
    nothing = np.full(members.shape[1], np.nan)
    if not controls or len(kept) < LEAST:
        why = "nothing else is known of the models" if not controls else f"only {len(kept)} models have all controls"
        return undefined(why), nothing, {}
    own = members[kept]
    alike = own @ own.T
    if np.ptp(alike[np.triu_indices(len(kept), 1)]) == 0:
        return undefined("all models that have all controls are of one family, or none are"), nothing, lacking
    columns = [np.array([known[names[place]] for place in kept]) for known in controls.values()]
    apart = [np.abs(np.subtract.outer(column, column)) for column in columns]
    inner = matrix[np.ix_(kept, kept)]
    test = partial_mantel(inner, alike, apart, alternative="greater", permutations=draws[0], seed=draws[1])
    return test, _dealt(residuals(inner, apart), own, *draws).p, lacking


def _assembled(
    dealt: _Dealt,
    of: tuple[list[str], NDArray[np.float64]],
    beyond_controls: tuple[PermutationTest, Floats],
    controls: tuple[str, ...],
    left_out: dict[str, str],
) -> Families:
    (every, members), (beyond, p_beyond) = of, beyond_controls
    observed, p = dealt.means, dealt.p
    sizes = members.sum(0).astype(int)
    several = np.flatnonzero(sizes > 1)
    corrected, corrected_beyond = np.full(len(every), np.nan), np.full(len(every), np.nan)
    corrected[several] = correct(p[several])
    if np.isfinite(p_beyond).any():
        corrected_beyond[several] = correct(p_beyond[several])
    order = sorted(several.tolist(), key=lambda place: -observed.pairs[place, place])
    rows = []
    for place in order:
        rest = np.where(np.arange(len(every)) == place, -np.inf, observed.pairs[place])
        near = int(rest.argmax())
        rows.append(
            Family(
                every[place],
                int(sizes[place]),
                float(observed.pairs[place, place]),
                float(observed.others[place]),
                float(p[place]),
                float(corrected[place]),
                float(corrected_beyond[place]),
                every[near],
                float(rest[near]),
            )
        )
    both = list(itertools.combinations(order, 2))
    p_pairs = [float(dealt.p_pairs[pair]) for pair in both]
    together = [
        FamilyPair(every[i], every[j], float(observed.pairs[i, j]), one, float(one_corrected))
        for (i, j), one, one_corrected in zip(both, p_pairs, correct(p_pairs), strict=True)
    ]
    together.sort(key=lambda pair: -pair.similarity)
    return Families(rows, together, observed.pairs[np.ix_(order, order)], dealt.gap, beyond, controls, left_out)
