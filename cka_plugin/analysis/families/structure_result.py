"""What is said of families of models: which lie together, each by itself and two by two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cka_plugin.analysis.statistics.permutation import PermutationTest
from cka_plugin.core import Floats
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import matrix_image
from cka_plugin.tables import Result, short, text_table
from cka_plugin.wording import for_terminal, listed

_SAID = 5  # pairs of families in a sentence; `together` has all


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
