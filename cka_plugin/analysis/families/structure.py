"""Which families of models lie together, and whether beyond what size and accuracy explain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cka_plugin.analysis.statistics.corrections import correct
from cka_plugin.analysis.statistics.partial_mantel import partial_mantel, residuals
from cka_plugin.analysis.statistics.permutation import PermutationTest, p_value, symmetric_pairs, undefined
from cka_plugin.core import Floats
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import matrix_image
from cka_plugin.tables import Result, short, text_table
from cka_plugin.wording import for_terminal, listed

LEAST = 4  # models of which a test can say anything
_SAID = 5  # pairs of families in a sentence; `together` has all
_TIE = 1e-9  # dealings that give the same number up to rounding count as equal to it


@dataclass(frozen=True)
class Family:
    """One family of two models or more.

    Attributes:
        name: of the family.
        models: how many.
        within: mean similarity of its models with one another.
        others: mean similarity of its models with all others.
        p: as large a gap between the two would come about among models dealt to families at random.
        p_corrected: over the families, Benjamini-Hochberg.
        p_beyond: the same of what size and accuracy leave of the similarities, corrected likewise.
        nearest: the family most similar to it; None where there is no other.
        nearest_similarity: mean similarity of the models of the two.
    """

    name: str
    models: int
    within: float
    others: float
    p: float
    p_corrected: float
    p_beyond: float
    nearest: str | None
    nearest_similarity: float


@dataclass(frozen=True)
class FamilyPair:
    """Two families.

    Attributes:
        a: one.
        b: the other.
        similarity: mean similarity of a model of one with a model of the other.
        p: as large a similarity would come about among models dealt to families at random.
        p_corrected: over all pairs, Benjamini-Hochberg.
    """

    a: str
    b: str
    similarity: float
    p: float
    p_corrected: float


@dataclass(frozen=True, repr=False)
class Families(Result):
    """Families of models, those whose models are most alike first; made by `Comparison.families`.

    Attributes:
        families: one row each.
        together: every two families, the most similar first.
        similarity: (families, families) mean similarity, in the order of `families`; on the diagonal within them.
        gap: mean similarity within families minus that between them, tested by permuting the models.
        beyond: partial Mantel correlation of being of one family with similarity, given the differences in what
            `controls` names.
        controls: what `beyond` is beyond.
        left_out: models that no test takes in, and why.
    """

    families: list[Family]
    together: list[FamilyPair]
    similarity: Floats
    gap: PermutationTest
    beyond: PermutationTest
    controls: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def table_rows(self) -> tuple[Sequence[Any], type]:
        return self.families, Family

    def sentences(self) -> list[str]:
        """What was found, in words."""
        said = [f"Models of one family are more alike than others by {self.gap}."]
        what = listed(self.controls) if self.controls else "nothing"
        said.append(f"Given differences in {what}: partial correlation {self.beyond}.")
        close = [pair for pair in self.together if pair.p_corrected <= 0.05]
        if close:
            pairs = [f"{pair.a} and {pair.b} ({pair.similarity:.3f})" for pair in close[:_SAID]]
            more = f", and {len(close) - _SAID} other pairs" if len(close) > _SAID else ""
            said.append(f"Different families that lie together: {', '.join(pairs)}{more}.")
        if self.left_out:
            reasons = [f"{name} ({reason})" for name, reason in self.left_out.items()]
            said.append(f"Left out: {listed(reasons, 4)}.")
        return said

    def _rows(self) -> list[list[Any]]:
        return [
            [
                one.name,
                one.models,
                one.within,
                one.others,
                short(one.p_corrected),
                short(one.p_beyond),
                one.nearest or "-",
                one.nearest_similarity,
            ]
            for one in self.families
        ]

    _header = ("family", "models", "within", "others", "p", "p beyond", "nearest family", "similarity")

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        picture = matrix_image(self.similarity, "mean similarity of every two families, the first at the bottom")
        return card(f"{len(self.families)} families", self.sentences(), self._header, self._rows(), picture)

    def __repr__(self) -> str:
        table = text_table(self._rows(), self._header, right=(4, 5))
        return "\n".join([table, *map(for_terminal, self.sentences())])


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
