"""One row a model: its size, its accuracy, its block structure and the shape of its representations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.analysis.blocks import BlockStructure
from cka_plugin.analysis.families.relation import Relation, relate
from cka_plugin.core import Floats
from cka_plugin.notebook.card import MOST_ROWS, card
from cka_plugin.notebook.images import Bar, bars_image
from cka_plugin.representation import Representation
from cka_plugin.tables import Result, text_table
from cka_plugin.wording import for_terminal, listed

if TYPE_CHECKING:
    import pandas as pd

SKETCHED = "not known"
BESIDE = ("name", "family", "block_verdict", "factors")  # what is no number


@dataclass(frozen=True)
class ModelSummary:
    """One model.

    Attributes:
        name: in the comparison.
        family: architecture family or type, as its framework names it; None in files of before it was recorded.
        layers: number of layers compared.
        parameters: number of parameters; None likewise.
        features: of the widest layer compared, as pooled; NaN likewise, and `Summary.reasons` says so.
        accuracy: on the labels; None without labels that are classes of the head.
        block_verdict: `none`, `weak`, `strong`, or `inconclusive`; `not known` of sketches.
        block_share: share of the layers that lie in blocks of that verdict; NaN where it is inconclusive.
        first_component_share: the largest over the layers, of the variance, in minibatches of this size.
        dimension: median over the layers of the unbiased participation ratio.
        neighbours: mean CKA of neighbouring layers.
        factors: what was given of it, such as width and number of training examples.
    """

    name: str
    family: str | None
    layers: int
    parameters: int | None
    features: float
    accuracy: float | None
    block_verdict: str
    block_share: float
    first_component_share: float
    dimension: float
    neighbours: float
    factors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Summary(Result):
    """Models side by side; made by `Comparison.summary`.

    Attributes:
        models: one row a model, in the order of the comparison.
        reasons: for each figure that is missing of a model, by its name, why.
    """

    models: list[ModelSummary]
    reasons: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reasons", _reasons(self.models))

    def table_rows(self) -> tuple[Sequence[Any], type]:
        return self.models, ModelSummary

    def to_frame(self) -> pd.DataFrame:
        """One row a model; each factor is a column of its own."""
        table = super().to_frame().drop(columns=["factors"])
        for name in self._factors():
            table[name] = [model.factors.get(name) for model in self.models]
        return table

    def relate(self, x: str, y: str, seed: int = 0) -> Relation:
        """Does one figure go with another over the models? Rank correlation with a permutation p.

        Args:
            x: a column of numbers: `parameters`, `layers`, `accuracy`, `block_share`, ..., or a factor.
            y: another.
            seed: of the permutations.

        Raises:
            ValueError: no such column; the message lists those there are.
        """
        return relate(self._column(x), self._column(y), (x, y), seed)

    def _factors(self) -> list[str]:
        return list(dict.fromkeys(name for model in self.models for name in model.factors))

    def _column(self, name: str) -> list[float]:
        numbers = [key for key in ModelSummary.__dataclass_fields__ if key not in BESIDE]
        if name not in numbers and name not in self._factors():
            raise ValueError(f"{name!r} is no figure of the summary: it has {listed([*numbers, *self._factors()])}")
        held = [
            model.factors.get(name) if name in model.factors else getattr(model, name, None) for model in self.models
        ]
        wrong = [value for value in held if value is not None and not isinstance(value, int | float | np.number)]
        if wrong:
            raise ValueError(f"{name!r} is {wrong[0]!r} for some model: expected numbers")
        return [math.nan if value is None else float(value) for value in held]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        header = ["model", "family", "layers", "parameters", "widest", "accuracy", "blocks", "dimension"]
        rows = [
            [
                model.name,
                model.family or "-",
                model.layers,
                "-" if model.parameters is None else f"{model.parameters:,}",
                "-" if math.isnan(model.features) else f"{model.features:,}",
                "-" if model.accuracy is None else f"{model.accuracy:.1%}",
                model.block_verdict,
                model.dimension,
            ]
            for model in self.models
        ]
        bars = [Bar(model.name, model.first_component_share) for model in self.models[:MOST_ROWS]]
        picture = bars_image(bars, "largest share of the variance that a layer's first component holds")
        reasons = [f"{name}: {reason}" for name, reason in self.reasons.items()]
        return card(f"Summary of {len(self.models)} models", reasons, header, rows, picture)

    def __repr__(self) -> str:
        header = ["model", "family", "layers", "parameters", "widest", "accuracy", "blocks", "in blocks", "PC1"]
        rows = [
            (
                for_terminal(model.name),
                "-" if model.family is None else for_terminal(model.family),
                model.layers,
                "-" if model.parameters is None else f"{model.parameters:,}",
                "-" if math.isnan(model.features) else f"{model.features:,}",
                "-" if model.accuracy is None else f"{model.accuracy:.1%}",
                model.block_verdict,
                "-" if math.isnan(model.block_share) else f"{model.block_share:.0%}",
                "-" if math.isnan(model.first_component_share) else f"{model.first_component_share:.0%}",
                "-" if math.isnan(model.dimension) else f"{model.dimension:.1f}",
                f"{model.neighbours:.3f}",
                *(str(model.factors.get(name, "-")) for name in self._factors()),
            )
            for model in self.models
        ]
        table = text_table(rows, [*header, "dimension", "neighbours", *map(for_terminal, self._factors())])
        return "\n".join([table, *(f"({name}: {reason})" for name, reason in self.reasons.items())])


def _reasons(models: Sequence[ModelSummary]) -> dict[str, str]:
    """Why figures are missing."""
    unrecorded = "not recorded of {}, which an earlier version represented: represent again"
    unlabelled = "{} has no labels that are classes of its head"
    unsettled = "inconclusive for {}: see Comparison.block_structure"
    sketched = "needs whole Gram matrices, and of {} there are sketches: represent without sketch="
    of_sketches = [model.name for model in models if model.block_verdict == SKETCHED]
    missing = {
        "block_share": (unsettled, [model.name for model in models if model.block_verdict == "inconclusive"]),
        "blocks, first component, dimension": (sketched, of_sketches),
        "parameters": (unrecorded, [model.name for model in models if model.parameters is None]),
        "features": (unrecorded, [model.name for model in models if math.isnan(model.features)]),
        "accuracy": (unlabelled, [model.name for model in models if model.accuracy is None]),
    }
    return {figure: why.format(listed(names, 4)) for figure, (why, names) in missing.items() if names}


def summarise(
    representation: Representation, matrix: Floats, blocks: BlockStructure | None, factors: Mapping[str, Any]
) -> ModelSummary:
    """One model's row.

    Args:
        representation: of the model.
        matrix: (layers, layers) CKA of the model with itself.
        blocks: its block structure; None of sketches.
        factors: what else is known of it.
    """
    about = representation.options.get("model") or {}
    share = None if blocks is None else blocks.first_component_share
    dimension = None if blocks is None else blocks.participation_ratio
    return ModelSummary(
        name=representation.name,
        family=about.get("family"),
        layers=len(representation.layers),
        parameters=about.get("parameters"),
        features=math.nan if about.get("features") is None else int(about["features"]),
        accuracy=representation.accuracy,
        block_verdict=SKETCHED if blocks is None else blocks.verdict,
        block_share=math.nan if blocks is None else _share(blocks),
        first_component_share=_of_finite(np.max, share),
        dimension=_of_finite(np.median, dimension),
        neighbours=_of_finite(np.mean, np.diagonal(matrix, 1)),
        factors=dict(factors),
    )


def _share(blocks: BlockStructure) -> float:
    if blocks.verdict == "inconclusive":
        return math.nan
    return sum(len(block) for block in blocks.blocks) / len(blocks.layers)


def _of_finite(figure: Any, values: Floats | None) -> float:
    finite = np.array([]) if values is None else values[np.isfinite(values)]
    return float(figure(finite)) if finite.size else math.nan


def check_factors(factors: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    """Raise a ValueError unless all factors are of models that there are."""
    if unknown := [name for name in factors if name not in names]:
        raise ValueError(f"factors of {unknown[0]!r}, which is not in this comparison: it has {listed(names)}")
