"""What a comparison says beyond its matrices: each method hands representations to one analysis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.core.similarity import Floats, Sums
from cka_plugin.representation.representation import Representation

if TYPE_CHECKING:
    from cka_plugin.analysis.blocks.detector import BlockStructure
    from cka_plugin.analysis.blocks.uniqueness import BlockUniqueness
    from cka_plugin.analysis.components.dominance import WithoutDominant
    from cka_plugin.analysis.correspondence import Correspondence, Difference
    from cka_plugin.analysis.errors.agreement import ErrorMatrices, SimilarityAndErrors
    from cka_plugin.analysis.errors.group_result import GroupComparison
    from cka_plugin.analysis.errors.result import ErrorComparison
    from cka_plugin.analysis.levels.chance import ChanceLevel
    from cka_plugin.analysis.statistics.permutation import PermutationTest


class ModelAnalyses(ABC):
    """The analyses of a `Comparison`. Those of Gram matrices take the unbiased estimator, whatever the comparison's."""

    _blocks: dict[str, BlockStructure]

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of the models."""

    @abstractmethod
    def __getitem__(self, name: str) -> Representation:
        """The representation of a model."""

    @abstractmethod
    def layers(self, name: str) -> list[Layer]:
        """The layers of a model."""

    @abstractmethod
    def sums(self, a: str, b: str) -> Sums:
        """Inner products per minibatch of the layers of two models."""

    @abstractmethod
    def pair(self, a: str | None, b: str | None) -> tuple[str, str]:
        """The two models meant."""

    @abstractmethod
    def matrix(self, a: str | None = None, b: str | None = None) -> Floats:
        """CKA of every layer of one model with every layer of another."""

    @abstractmethod
    def models(self) -> Floats:
        """Mean CKA of layers at equal depth, model by model."""

    def correspondence(self, a: str | None = None, b: str | None = None, level: float = 0.95) -> Correspondence:
        """For each layer of `a` the most similar layer of `b`: their CKA with its interval, both depths, the runner-up.

        Returns:
            A `Correspondence`: `.matches`, `.share_at_equal_depth`, `.only_in_a`, `.to_frame()`.
        """
        from cka_plugin.analysis.correspondence import correspondence

        first, second = self.pair(a, b)
        return correspondence(self.sums(first, second), self.layers(first), self.layers(second), level)

    def difference(
        self, first: tuple[str, str, str, str], second: tuple[str, str, str, str], level: float = 0.95
    ) -> Difference:
        """Whether one CKA differs from another: their difference, jackknifed as such over the same minibatches.

        Args:
            first: (model, its layer, other model, its layer), layers by name or path.
            second: the same of the CKA that is subtracted.
            level: of the interval.

        Raises:
            ValueError: no such model or layer.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> comparison = cka.compare(nets, data=torch.randn(200, 8), batch_size=20, progress=False)
            >>> comparison.difference(("a", "0", "b", "0"), ("a", "0", "b", "0"))
            The CKA differ by +0.000 [+0.000, +0.000], p = 1.000
        """
        from cka_plugin.analysis.correspondence import difference

        sums, cells = [], []
        for a, layer_a, b, layer_b in (first, second):
            cells.append((self[a].position_of(layer_a), self[b].position_of(layer_b)))
            sums.append(self.sums(a, b))
        return difference(sums[0], cells[0], sums[1], cells[1], level)

    def chance(self, a: str | None = None, b: str | None = None, draws: int = 199, seed: int = 0) -> ChanceLevel:
        """The CKA that two models would reach if their examples had nothing to do with one another.

        Nearly any two networks on the same data exceed it: see `cka_plugin.untrained`, `input_similarity` and
        `label_similarity` for levels that say more.

        Args:
            a: one model; without both, the first and the last are meant.
            b: the other.
            draws: permutations of the examples within minibatches.
            seed: of the draws.
        """
        from cka_plugin.analysis.levels.chance import chance_level

        first, second = self.pair(a, b)
        return chance_level(self[first], self[second], draws, seed)

    def label_similarity(self, name: str | None = None, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
        """CKA of every layer of a model with the pseudo-layer `labels`: two examples are alike where classes are.

        Returns:
            (layers,) CKA, and the ends of its interval (NaN with fewer than 8 minibatches).

        Raises:
            ValueError: the data had no labels.
        """
        from cka_plugin.analysis.grams import cka_sums
        from cka_plugin.analysis.levels.pseudo_layers import label_layer

        model = self[self.names[0] if name is None else name]
        return _column(cka_sums(model, label_layer(_labels(model), model)), level)

    def input_similarity(
        self, data: Any, name: str | None = None, level: float = 0.95
    ) -> tuple[Floats, Floats, Floats]:
        """CKA of every layer of a model with the pseudo-layer `input`: pixels or features as they are in the data.

        Args:
            data: what the comparison was made on; it is read again.
            name: the model; the first by default.
            level: of the interval.

        Returns:
            (layers,) CKA, and the ends of its interval (NaN with fewer than 8 minibatches).

        Raises:
            ValueError: other data, or examples that are not numbers of one shape (texts, images of several sizes).
        """
        from cka_plugin.analysis.grams import cka_sums
        from cka_plugin.models.levels import input_vectors

        model = self[self.names[0] if name is None else name]
        return _column(cka_sums(model, input_vectors(data, model)), level)

    def within_classes(self, a: str | None = None, b: str | None = None) -> Floats:
        """CKA within classes: what layers share beyond telling the classes apart. Like `matrix()`.

        Raises:
            ValueError: no labels, or nowhere 4 examples of one class in one minibatch.
        """
        from cka_plugin.analysis.subsets import cka_within_classes

        first, second = self.pair(a, b)
        return cka_within_classes(self[first], _labels(self[first]), self[second]).cka()

    def without_first_component(self, a: str | None = None, b: str | None = None, count: int = 1) -> Floats:
        """CKA after every layer has lost its own first principal component, or the first `count`. Like `matrix()`."""
        from cka_plugin.analysis.components.removal import cka_without_first_component

        first, second = self.pair(a, b)
        return cka_without_first_component(self[first], None if first == second else self[second], count).cka()

    def first_component_cosine(self, a: str | None = None, b: str | None = None) -> Floats:
        """Squared cosines of the first principal components of any two layers. Like `matrix()`."""
        from cka_plugin.analysis.components.principal import components, squared_cosines

        first, second = self.pair(a, b)
        return squared_cosines(components(self[first]), components(self[second]))

    def without_dominant_examples(
        self, a: str | None = None, b: str | None = None, fractions: Sequence[float] = (0.01, 0.05, 0.10)
    ) -> WithoutDominant:
        """CKA without the examples that dominate the first components: 1%, 5% and 10% of them by default.

        They are ranked over the layers of a model's block structure, where it has one, else over all its layers; of two
        models, the union of their sets is left out.

        Raises:
            ValueError: a fraction outside (0, 1), or too few examples left.
        """
        from cka_plugin.analysis.components.dominance import without_dominant_examples

        first, second = self.pair(a, b)
        chosen = [self[first]] if first == second else [self[first], self[second]]
        inside: list[range | None] = []
        for model in chosen:
            blocks = self.block_structure(model.name).blocks
            inside.append(range(blocks[0].start, blocks[0].stop) if blocks else None)
        return without_dominant_examples(chosen, inside, fractions)

    def block_structure(self, name: str | None = None) -> BlockStructure:
        """Whether a model has the block structure, where, and why; see `cka_plugin.analysis.blocks.detector`.

        Args:
            name: the model; the first by default.

        Returns:
            A `BlockStructure` with verdict, place, evidence and one sentence of reason; computed once a model.
        """
        from cka_plugin.analysis.blocks.detector import block_structure

        name = self.names[0] if name is None else name
        if name not in self._blocks:
            self._blocks[name] = block_structure(self[name])
        return self._blocks[name]

    def compare_blocks(self, a: str | None = None, b: str | None = None) -> BlockUniqueness:
        """Whether the blocks of two models are alike: usually each is its model's own, and the layers outside match."""
        from cka_plugin.analysis.blocks.uniqueness import compare_blocks

        first, second = self.pair(a, b)
        depths = tuple([layer.depth for layer in self.layers(name)] for name in (first, second))
        return compare_blocks(
            self.block_structure(first),
            self.block_structure(second),
            self.matrix(first, second),
            self.first_component_cosine(first, second),
            (depths[0], depths[1]),
        )

    def groups(self, groups: Mapping[str, str] | Sequence[str], **options: Any) -> PermutationTest:
        """Are models of one group (seeds of an architecture) more alike than models of different groups?

        Mean CKA at equal depth within groups minus that between, tested by permuting the models.

        Args:
            groups: the group of each model: {model: group}, or one label a model in the order of `names`; two groups of
                at least two models.
            options: `alternative`, `permutations`, `seed` of `analysis.statistics.permutation.within_between`.

        Raises:
            ValueError: not two groups of two or more, or a model without a group.
        """
        from cka_plugin.analysis.statistics.permutation import within_between

        return within_between(self.models(), self._group_of_each(groups), **options)

    def _group_of_each(self, groups: Mapping[str, str] | Sequence[str]) -> list[str]:
        if isinstance(groups, Mapping):
            if missing := [name for name in self.names if name not in groups]:
                raise ValueError(f"groups: no group for {missing[0]!r}; the models are {', '.join(self.names)}")
            return [groups[name] for name in self.names]
        if len(groups) != len(self.names):
            raise ValueError(f"{len(groups)} groups for {len(self.names)} models: expected one a model")
        return list(groups)

    def group_errors(self, groups: Mapping[str, str] | Sequence[str], **options: Any) -> GroupComparison:
        """The mistakes of two groups of models, such as seeds of two architectures: see `cka_plugin.compare_groups`.

        Differences are the first group's minus the second's, in the order in which their models come.

        Args:
            groups: as for `groups`.
            options: `super_classes`, `mapping`, `correction`, `level`, `alpha`, ... of `compare_groups`.

        Raises:
            ValueError: as for `errors`; not two groups of two or more, or heads that differ within a group.
        """
        from cka_plugin.analysis.errors.groups import compare_groups

        of_each = self._group_of_each(groups)
        names = list(dict.fromkeys(of_each))
        if len(names) != 2:
            raise ValueError(f"groups {', '.join(names)}: expected two")
        members = [[self[n] for n, group in zip(self.names, of_each, strict=True) if group == name] for name in names]
        heads = {}
        for name, models in zip(names, members, strict=True):
            _check_classifiers(models)
            if any(model.class_names != models[0].class_names for model in models):
                raise ValueError(f"the heads of group {name!r} have other classes, or another order of them")
            heads[name] = models[0].class_names
        first = members[0][0]
        return compare_groups(
            [model.logits for model in members[0]],
            [model.logits for model in members[1]],
            first.labels,
            first.label_names,
            names=(names[0], names[1]),
            head_classes=heads,
            **options,
        )

    def errors(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        mapping: str | Mapping[str, Any] | None = None,
        correction: str = "benjamini-hochberg",
        level: float = 0.95,
        alpha: float = 0.05,
    ) -> ErrorComparison:
        """The mistakes of two models, class by class and example by example; differences are a - b.

        Args:
            a: one model; without both, the first and the last are meant.
            b: the other.
            mapping: how the classes of the models' heads correspond to those of the labels; see `compare_errors`.
            correction: of p over the classes: `benjamini-hochberg`, `holm` or `none`.
            level: of the intervals.
            alpha: of the flags.

        Raises:
            ValueError: no labels, a model that does not classify, or heads of other classes without a mapping.
        """
        from cka_plugin.analysis.errors.compare import compare_errors

        first, second = chosen = [self[name] for name in self.pair(a, b)]
        _check_classifiers(chosen)
        return compare_errors(
            first.logits,
            second.logits,
            first.labels,
            first.label_names,
            example_ids=first.example_ids,
            names=(first.name, second.name),
            head_classes=_heads(chosen),
            mapping=mapping,
            correction=correction,
            level=level,
            alpha=alpha,
        )

    def error_matrices(self, *, mapping: str | Mapping[str, Any] | None = None) -> ErrorMatrices:
        """Agreement of predictions, and kappa of correctness, of every pair of models.

        Args:
            mapping: as for `errors`.

        Raises:
            ValueError: as for `errors`, or a single model.
        """
        from cka_plugin.analysis.errors.agreement import error_matrices

        chosen = [self[name] for name in self.names]
        _check_classifiers(chosen)
        return error_matrices(
            {model.name: model.logits for model in chosen},
            chosen[0].labels,
            chosen[0].label_names,
            head_classes=_heads(chosen),
            mapping=mapping,
        )

    def similarity_and_errors(
        self, *, mapping: str | Mapping[str, Any] | None = None, **options: Any
    ) -> SimilarityAndErrors:
        """Do models that represent alike also err alike? Mantel tests over all pairs of models.

        Args:
            mapping: as for `errors`.
            options: `ranks`, `permutations`, `seed` of `cka_plugin.analysis.errors.agreement.similarity_and_errors`.
        """
        from cka_plugin.analysis.errors.agreement import similarity_and_errors

        return similarity_and_errors(self.models(), self.error_matrices(mapping=mapping), **options)


def _labels(model: Representation) -> Any:
    if model.labels is None:
        raise ValueError(
            f"{model.name} was made of data without labels; give labels=, class sub-folders, or a loader of (x, label)"
        )
    return model.labels


def _column(sums: Sums, level: float) -> tuple[Floats, Floats, Floats]:
    low, high = sums.interval(level)
    return np.asarray(sums.cka()[:, 0]), np.asarray(low[:, 0]), np.asarray(high[:, 0])


def _check_classifiers(models: Sequence[Representation]) -> None:
    for model in models:
        if model.labels is None:
            raise ValueError(
                f"errors need labels: {model.name} was made of data without them; give labels=, class sub-folders, or "
                "a loader of (x, label)"
            )
        if model.logits is None:
            raise ValueError(
                f"errors need class scores (examples, classes): the output of {model.name} has none (multi-label, "
                "regression and language-model heads are not supported)"
            )


def _heads(models: Sequence[Representation]) -> dict[str, list[str]]:
    return {model.name: model.class_names for model in models if model.class_names is not None}
