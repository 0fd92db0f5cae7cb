"""Comparison: all pairs of layers of all models, from their representations alone."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.analysis.pair_sums import PairSums
from cka_plugin.core import Floats, Sums, check_estimator
from cka_plugin.representation import Representation, check_comparable, files
from cka_plugin.representation.folder import accuracies_in
from cka_plugin.representation.stored import StoredRepresentations
from cka_plugin.storage.vectors import VectorStore, budget_bytes
from cka_plugin.tables import json_safe
from cka_plugin.wording import listed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cka_plugin.analysis.blocks.result import BlockStructure
    from cka_plugin.analysis.blocks.uniqueness import BlockUniqueness
    from cka_plugin.analysis.components.dominance import WithoutDominant
    from cka_plugin.analysis.correspondence import Correspondence
    from cka_plugin.analysis.difference import Difference
    from cka_plugin.analysis.errors.agreement import ErrorMatrices, SimilarityAndErrors
    from cka_plugin.analysis.errors.group_result import GroupComparison
    from cka_plugin.analysis.errors.predictions_alike import Agreement
    from cka_plugin.analysis.errors.result import ErrorComparison
    from cka_plugin.analysis.examples.result import ExampleComparison
    from cka_plugin.analysis.families import Families, Nearest, Summary
    from cka_plugin.analysis.levels.calibrated import Calibrated
    from cka_plugin.analysis.levels.chance import ChanceLevel
    from cka_plugin.analysis.levels.result import Levels
    from cka_plugin.analysis.measures.representations import Measured
    from cka_plugin.analysis.statistics.permutation import PermutationTest

KIND = "comparison"  # of file
EXPORTS = ("arrays", "model-explorer")
ATLAS_FROM = 50  # models, from which on all pairs at once are too much to show: some 10 KB of a page and a second each
FEW_MODELS = 32  # whose pairs are looked at one by one, and kept: they are asked for again


class Comparison:
    """The similarity of every layer of every model with every other, and what else their representations say.

    Each method hands its question to one analysis. Those that need Gram matrices (levels, components, parts of the
    examples) take the unbiased estimator, whatever the comparison's.

    Args:
        representations: of the same examples, with unique names.
        estimator: `unbiased` or `biased`; both come from the same vectors.
        match: `content` or `ids`: what must agree between the examples of any two models.
        max_memory: for the inner products of layers; what does not fit lies in temporary files.
        data: what the representations were made on, where it is at hand: `report` reads it again to show examples.
        call: the call that made this comparison, for `report`.

    Raises:
        ValueError: representations of other examples, in another order, or of another kernel.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
        >>> comparison = cka.compare(nets, data=torch.randn(100, 8), granularity="module", progress=False)
        >>> comparison.names, comparison.matrix("a", "b").shape
        (['a', 'b'], (3, 3))
    """

    def __init__(
        self,
        representations: Sequence[Representation] | StoredRepresentations,
        estimator: str = "unbiased",
        match: str = "content",
        max_memory: int | float | str = "auto",
        data: Any = None,
        call: str = "",
    ) -> None:
        check_estimator(estimator)
        if not representations:
            raise ValueError("a comparison needs at least one representation")
        self.representations: Mapping[str, Representation]
        if isinstance(representations, StoredRepresentations):
            self.representations = representations
        else:
            names = [representation.name for representation in representations]
            if len(set(names)) < len(names):
                raise ValueError(f"the names of compared models must be unique: given {', '.join(names)}")
            self.representations = {representation.name: representation for representation in representations}
        first = self.representations[next(iter(self.representations))]
        if estimator != "unbiased" and first.projection is not None:
            raise ValueError(f"sketches give the unbiased CKA: estimator {estimator!r} needs whole Gram matrices")
        self._layers: dict[str, list[Layer]] = {}
        self._about: dict[str, dict[str, Any]] = {}
        for name in self.representations:
            held = self.representations
            other = held.about(name) if isinstance(held, StoredRepresentations) else held[name]
            check_comparable(first, other, match)
            self._layers[name], self._about[name] = other.layers, other.options.get("model") or {}
        self.estimator = estimator
        self.match = match
        self.data = data
        self.call = call
        self.folder: Path | None = None  # of the representations, where they are those of one
        self.files: dict[str, Path] | None = None
        self._pairs = PairSums(self.representations, estimator, VectorStore(budget_bytes(max_memory)))
        self._models: Floats | None = None
        self._accuracies: dict[str, float | None] | None = None
        self._blocks: dict[str, BlockStructure] = {}
        self._last_measured: tuple[Any, Measured] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the models, in the order given."""
        return list(self.representations)

    def layers(self, name: str) -> list[Layer]:
        """The layers of a model, in the order in which they fire."""
        self._check_name(name)
        return self._layers[name]

    def family(self, name: str) -> str | None:
        """The family of a model, as its framework names it; None where it was not recorded."""
        self._check_name(name)
        return self._about[name].get("family")

    def __getitem__(self, name: str) -> Representation:
        """The representation of a model by its name."""
        self._check_name(name)
        return self.representations[name]

    def _check_name(self, name: str) -> None:
        if name not in self._layers:
            raise ValueError(f"model {name!r} is not in this comparison: it has {listed(self.names)}")

    def sums(self, a: str, b: str) -> Sums:
        """Inner products per minibatch of the layers of two models; computed once."""
        self._check_name(a)
        self._check_name(b)
        return self._pairs.of(a, b)

    def pair(self, a: str | None, b: str | None) -> tuple[str, str]:
        """The two models meant: `a` alone, with itself; neither, the pair where there are two models or one.

        Raises:
            ValueError: neither, of three models or more; the message lists the pairs.
        """
        if a is None and b is None:
            if len(self.names) > 2:
                pairs = [f"({x!r}, {y!r})" for x, y in itertools.combinations(self.names, 2)]
                raise ValueError(f"{len(self.names)} models: say which two are meant, of {listed(pairs)}")
            return self.names[0], self.names[-1]
        first = a if a is not None else b
        second = b if b is not None else first
        assert first is not None
        assert second is not None
        return first, second

    def matrix(self, a: str | None = None, b: str | None = None, measure: str = "cka", **options: Any) -> Floats:
        """Similarity of every layer of model `a` with every layer of model `b`: CKA, or another measure.

        Args:
            a: a model's name; alone, it is compared with itself.
            b: another's; without both, the pair where two models are compared.
            measure: `cka`, `mutual_knn`, `rsa`, `bures`, or one registered by `register_measure`: see
                `cka_plugin.similarity`. The others are means over minibatches, and take longer.
            options: of the measure, such as `k` of `mutual_knn`; CKA has none here.

        Returns:
            (layers of a, layers of b) float64; NaN for dead layers. Unbiased CKA may lie slightly outside [0, 1].

        Raises:
            ValueError: no such model, measure or option; neither model named, of three or more.
        """
        first, second = self.pair(a, b)
        if measure == "cka" and not options:
            return self.sums(first, second).cka()
        return self._measured(first, second, measure, options).mean()

    def interval(
        self, a: str | None = None, b: str | None = None, level: float = 0.95, measure: str = "cka", **options: Any
    ) -> tuple[Floats, Floats]:
        """Jackknife interval over minibatches of each entry of `matrix(a, b)`.

        Args:
            a, b, measure, options: as for `matrix`.
            level: of the interval.

        Returns:
            (low, high), each like `matrix()`; NaN where there are fewer than 8 minibatches.
        """
        first, second = self.pair(a, b)
        if measure == "cka" and not options:
            return self.sums(first, second).interval(level)
        return self._measured(first, second, measure, options).interval(level)

    def sketch_error(self, a: str | None = None, b: str | None = None) -> Floats:
        """Standard error of each entry of `matrix(a, b)` that comes of sketches (`sketch=`); 0 without them.

        It is what CKA would differ by with other seeds, on the same examples; `interval` holds it too, as each
        minibatch has a random projection of its own.

        Args:
            a, b: as for `matrix`.

        Returns:
            (layers of a, layers of b) float64; NaN for dead layers.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> options = {"batch_size": 64, "granularity": "module", "progress": False}
            >>> comparison = cka.compare(nets, data=torch.randn(512, 8), sketch=1024, **options)
            >>> errors = comparison.sketch_error("a", "b")
            >>> errors.shape, bool(errors.max() < 0.02)
            ((3, 3), True)
        """
        return self.sums(*self.pair(a, b)).sketch_error()

    @property
    def sketched(self) -> str:
        """What pictures and tables say of sketches, with the largest standard error; empty of whole Gram matrices."""
        held = self[self.names[0]].projection
        if held is None:
            return ""
        errors = self.sketch_error(self.names[0], self.names[-1])
        most = float(np.nanmax(errors)) if np.isfinite(errors).any() else float("nan")
        return f"sketches of {held.size:,} numbers a minibatch (standard error at most {most:.1g})"

    def _measured(self, a: str, b: str, measure: str, options: Mapping[str, Any]) -> Measured:
        """A measure other than CKA between two models; the last one asked for is kept, for its interval."""
        from cka_plugin.analysis.measures.representations import measured

        asked = (a, b, measure, tuple(sorted(options.items())))
        if self._last_measured is None or self._last_measured[0] != asked:
            self._last_measured = asked, measured(self[a], self[b], measure, **options)
        return self._last_measured[1]

    def correspondence(self, a: str | None = None, b: str | None = None, level: float = 0.95) -> Correspondence:
        """For each layer of `a` the most similar layer of `b`: their CKA with its interval, both depths, the runner-up.

        Returns:
            A `Correspondence`: `.matches`, `.share_at_equal_depth`, `.only_in_a`, `.inconclusive`, `.to_frame()`.
        """
        from cka_plugin.analysis.components.alone import alone_in_minibatches
        from cka_plugin.analysis.correspondence import correspondence

        first, second = self.pair(a, b)
        alone = alone_in_minibatches(self[first]), alone_in_minibatches(self[second])
        return correspondence(self.sums(first, second), self.layers(first), self.layers(second), level, alone)

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
        from cka_plugin.analysis.difference import difference

        sums, cells = [], []
        for a, layer_a, b, layer_b in (first, second):
            cells.append((self[a].position_of(layer_a), self[b].position_of(layer_b)))
            sums.append(self.sums(a, b))
        return difference(sums[0], cells[0], sums[1], cells[1], level)

    def models(self, executor: Any = None) -> Floats:
        """Similarity of whole models: the mean CKA of layers at equal relative depth.

        Each layer is taken with the layer of the other model whose depth is nearest; both directions are averaged.
        Computed once. A folder of more than fits in memory is compared in tiles (models by models by minibatches), kept
        in its sub-folder `tiles` as they are finished: where this is stopped, it goes on there, and models that are
        added to the folder later leave most tiles as they are.

        Args:
            executor: anything with `submit(...).result()`, as for `represent_all`, whose workers share the tiles; they
                must see the folder. For a comparison of a folder, of whatever size.

        Returns:
            (models, models) float64, with 1 on the diagonal; layers without a similarity are left out.

        Raises:
            ValueError: an executor, but no folder.
            RuntimeError: workers failed; the tiles that are done are kept.
        """
        from cka_plugin.analysis.layer_pairs import similarity_of_models
        from cka_plugin.analysis.model_tiles import similarity_of_many

        if self._models is not None:
            return self._models.copy()
        depths = [[layer.depth for layer in self.layers(name)] for name in self.names]
        stored = isinstance(self.representations, StoredRepresentations) and not self.representations.fits
        if executor is not None or (stored and self.folder is not None):
            self._models = self._by_tiles(executor, depths)
        elif len(self.names) > FEW_MODELS:
            self._models = similarity_of_many(self.representations, self.estimator)
        else:
            self._models = similarity_of_models(lambda i, j: self.matrix(self.names[i], self.names[j]), depths)
        return self._models.copy()

    def _by_tiles(self, executor: Any, depths: list[list[float]]) -> Floats:
        from cka_plugin.engine.progress import counted
        from cka_plugin.zoo.tiles import FOLDER, Tiles

        if self.folder is None or self.files is None:
            raise ValueError("an executor shares the tiles of a folder: compare the folder itself, compare('zoo/')")
        sizes = self[self.names[0]].batch_sizes
        tiles = Tiles(self.folder / FOLDER, list(self.files.values()), depths, sizes, self.estimator)
        tiles.make(executor, lambda missing: counted(len(missing), "tiles", shown=True))
        return tiles.similarity()

    def nearest(self, name: str, k: int = 10, level: float = 0.95) -> Nearest:
        """The models most similar to one, the most similar first: what to look at beside it, or to put in its place.

        Args:
            name: of the model.
            k: how many; all others where there are fewer.
            level: of the intervals.

        Returns:
            A `Nearest`: `.neighbours`, `.to_frame()`: similarity as in `models()`, with its jackknife interval over
            minibatches, family, parameters and accuracy. Models without a similarity to it are no neighbours.

        Raises:
            ValueError: no such model; k below 1; a single model.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "abc"}
            >>> comparison = cka.compare(nets, data=torch.randn(100, 8), progress=False)
            >>> list(comparison.nearest("a", k=2).to_frame().columns)[:4]
            ['name', 'similarity', 'low', 'high']
        """
        from cka_plugin.analysis.families import Nearest, Neighbour, mean_interval

        self._check_name(name)
        if k < 1:
            raise ValueError(f"k {k}: expected 1 or more")
        if len(self.names) < 2:
            raise ValueError(f"{name} has no neighbours: it is the only model of this comparison")
        row = self.models()[self.names.index(name)]
        others = [place for place in np.argsort(-row, kind="stable").tolist() if self.names[place] != name]
        neighbours = []
        for place in [place for place in others if np.isfinite(row[place])][:k]:
            other = self.names[place]
            depths = [[layer.depth for layer in self.layers(one)] for one in (name, other)]
            _, low, high = mean_interval(self._pairs.unkept(name, other), (depths[0], depths[1]), level)
            about = self._about[other]
            neighbours.append(
                Neighbour(
                    other,
                    float(row[place]),
                    low,
                    high,
                    self.family(other),
                    about.get("parameters"),
                    self.accuracies([other])[other],
                )
            )
        return Nearest(name, neighbours, len(self.names) - 1)

    def families(self, families: Mapping[str, str] | None = None, permutations: int = 999, seed: int = 0) -> Families:
        """Which families of models lie together, and whether beyond what size and accuracy explain.

        Similarity within families against that between them, tested by permuting the models; and a partial Mantel test
        of the same given the differences in size (decades of parameters) and accuracy, as models of one family are
        often of one size.

        Args:
            families: of each model, {model: family}; by default as its framework names it.
            permutations: of the models, drawn at random.
            seed: of the draws.

        Returns:
            A `Families`: `.families` (one row each, with the nearest other family), `.together` (every two families),
            `.gap`, `.beyond`, `.to_frame()`.

        Raises:
            ValueError: a model without a family; fewer than two families, or none of two models.

        Source: Mantel 1967; Smouse, Long & Sokal 1986; Legendre 2000.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {f"{kind}{i}": nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
            ...         for kind in "ab" for i in range(3)}
            >>> comparison = cka.compare(nets, data=torch.randn(100, 8), progress=False)
            >>> found = comparison.families({name: name[0] for name in nets})
            >>> sorted(found.to_frame()["name"]), found.controls
            (['a', 'b'], ())
        """
        from cka_plugin.analysis.families import find_families

        chosen = {name: self.family(name) for name in self.names} if families is None else families
        lacking = [name for name in self.names if chosen.get(name) is None]
        if lacking:
            raise ValueError(f"no family is known of {listed(lacking, 4)}: give families={{model: family}}")
        sizes = {
            name: math.log10(about["parameters"]) for name, about in self._about.items() if about.get("parameters")
        }
        right = {name: value for name, value in self.accuracies(self.names).items() if value is not None}
        controls = {
            what: known for what, known in (("size", sizes), ("accuracy", right)) if len(set(known.values())) > 1
        }
        return find_families(
            self.models(), self.names, {name: str(chosen[name]) for name in self.names}, controls, permutations, seed
        )

    def accuracies(self, names: Sequence[str] | None = None) -> dict[str, float | None]:
        """Share of examples that each model gets right; None without labels that are classes of its head.

        Args:
            names: of models; all by default.
        """
        if self._accuracies is None:
            self._accuracies = {} if self.folder is None else dict(accuracies_in(self.folder))
        for name in self.names if names is None else names:
            if name not in self._accuracies:
                self._accuracies[name] = self[name].accuracy
        return {name: self._accuracies[name] for name in (self.names if names is None else names)}

    def chance(
        self,
        a: str | None = None,
        b: str | None = None,
        draws: int = 199,
        seed: int = 0,
        measure: str = "cka",
        **options: Any,
    ) -> ChanceLevel:
        """The similarity that two models would reach if their examples had nothing to do with one another.

        Nearly any two networks on the same data exceed it: see `cka_plugin.untrained`, `input_similarity` and
        `label_similarity` for levels that say more.

        Args:
            a: one model; without both, the pair where two models are compared.
            b: the other.
            draws: permutations of the examples within minibatches.
            seed: of the draws.
            measure, options: as for `matrix`. A draw takes as long as the matrix: minutes for `bures`.
        """
        from cka_plugin.analysis.levels.chance import chance_level

        first, second = self.pair(a, b)
        return chance_level(self[first], self[second], draws, seed, measure, **options)

    def calibrated(
        self,
        a: str | None = None,
        b: str | None = None,
        draws: int = 199,
        seed: int = 0,
        measure: str = "cka",
        **options: Any,
    ) -> Calibrated:
        """Similarity above chance, (s - tau)/(1 - tau), of every pair of layers and of each layer's best match.

        tau is the 95% quantile with the examples of one model permuted; for the best match, of the largest over all
        layers of the other model in the same permutation, so that the search over layers is paid for.

        Args:
            a, b, draws, seed, measure, options: as for `chance`. CKA is the unbiased one, whatever the comparison's.

        Returns:
            A `Calibrated`: `.matrix`, `.p`, `.matches`, `.to_frame()`.

        Raises:
            ValueError: fewer than 19 draws, no such measure or option.
        """
        from cka_plugin.analysis.levels.calibrated import calibrated

        first, second = (self[name] for name in self.pair(a, b))
        chance = self.chance(first.name, second.name, draws, seed, measure, **options)
        return calibrated(chance, (first.name, second.name), (first.layer_names, second.layer_names))

    def levels(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        data: Any = None,
        measure: str = "mutual_knn",
        draws: int | None = None,
        seed: int = 0,
        level: float = 0.95,
        fraction: float = 0.05,
    ) -> Levels:
        """What the similarity of two models is held against, layer by layer: chance, architecture, data, few examples.

        For each layer of `a` its best match in `b`: CKA with its interval, what the best of unrelated layers reaches,
        the same between untrained copies, CKA with inputs and labels, first components, CKA without the examples that
        dominate these, and a second measure. CKA is the unbiased one, whatever the comparison's.

        Args:
            a: one model; without both, the pair where two models are compared.
            b: the other.
            data: what the comparison was made on; read again for the inputs, where these were not kept.
            measure: the second one: `mutual_knn`, `rsa`, `bures` (slow), or one registered by `register_measure`.
            draws: permutations of the level of chance: 199, or 19 where more would take minutes.
            seed: of the draws.
            level: of the intervals.
            fraction: of the examples that is left out, the most dominant of each model.

        Returns:
            A `Levels`: `.layers`, `.sentence`, `.missing` (what could not be had, and why), `.to_frame()`. Untrained
            copies, and inputs without `data`, are those of `compare(..., levels=True)`.

        Raises:
            ValueError: one model alone; no such measure; fewer than 19 draws; other data.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> x = torch.randn(200, 8)
            >>> comparison = cka.compare(nets, data=x, batch_size=20, levels=True, progress=False)
            >>> found = comparison.levels("a", "b")
            >>> found.missing, list(found.to_frame()["layer"])
            ({'labels': 'the data had no labels'}, ['0', 'head'])
        """
        from cka_plugin.analysis.levels.of_pair import Asked, levels
        from cka_plugin.engine.beside import with_inputs

        first, second = self.pair(a, b)
        if first == second:
            raise ValueError(f"levels are of two models; given {first} alone: compare it with another")
        model = self[first] if data is None else with_inputs(self[first], data)
        asked = Asked(measure, draws, seed, level, fraction)
        blocks = self._block(first), self._block(second)
        return levels(model, self[second], asked, blocks, self._setting("unbiased"), self._functional(first, second))

    def _functional(self, a: str, b: str) -> list[str]:
        """How often two models predict alike, or why that is not known: likeness in what they do."""
        try:
            found = self.agreement(a, b)
        except ValueError as error:
            return [f"agreement of predictions is not known: {error}"]
        return [f"{a} and {b} predict the same class on {found.agreement:.0%} of the examples"]

    def _block(self, name: str) -> range | None:
        """The layers of a model's largest block, where it has one."""
        blocks = self.block_structure(name).blocks
        return range(blocks[0].start, blocks[0].stop) if blocks else None

    def label_similarity(self, name: str | None = None, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
        """CKA of every layer of a model with the pseudo-layer `labels`: two examples are alike where classes are.

        Returns:
            (layers,) CKA, and the ends of its interval (NaN with fewer than 8 minibatches).

        Raises:
            ValueError: the data had no labels.
        """
        from cka_plugin.analysis.errors.of_models import labels_of
        from cka_plugin.analysis.grams import cka_sums
        from cka_plugin.analysis.levels.pseudo_layers import label_layer

        model = self[self.names[0] if name is None else name]
        return _column(cka_sums(model, label_layer(labels_of(model), model)), level)

    def input_similarity(
        self, data: Any, name: str | None = None, level: float = 0.95
    ) -> tuple[Floats, Floats, Floats]:
        """CKA of every layer of a model with the pseudo-layer `input`: pixels or features as they are in the data.

        Pictures of several sizes, or larger than 512 x 512, are taken at 32 x 32.

        Args:
            data: what the comparison was made on; it is read again.
            name: the model; the first by default.
            level: of the interval.

        Returns:
            (layers,) CKA, and the ends of its interval (NaN with fewer than 8 minibatches).

        Raises:
            ValueError: other data, or examples that are not numbers of one shape (texts, sounds of several lengths).
        """
        from cka_plugin.analysis.grams import cka_sums
        from cka_plugin.engine.inputs import inputs_like

        model = self[self.names[0] if name is None else name]
        return _column(cka_sums(model, inputs_like(data, model)), level)

    def within_classes(self, a: str | None = None, b: str | None = None) -> Floats:
        """CKA within classes: what layers share beyond telling the classes apart. Like `matrix()`.

        Raises:
            ValueError: no labels, or nowhere 4 examples of one class in one minibatch.
        """
        from cka_plugin.analysis.errors.of_models import labels_of
        from cka_plugin.analysis.subsets import cka_within_classes

        first, second = self.pair(a, b)
        return cka_within_classes(self[first], labels_of(self[first]), self[second]).cka()

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
        return without_dominant_examples(chosen, [self._block(model.name) for model in chosen], fractions)

    def block_structure(self, name: str | None = None) -> BlockStructure:
        """Whether a model has the block structure, where, and why; see `cka_plugin.analysis.blocks.detector`.

        Args:
            name: the model; the first by default.

        Returns:
            A `BlockStructure` with verdict, place, evidence and one sentence of reason; computed once a model. The
            verdict is `inconclusive` with fewer than 8 minibatches, and where the examples that make the layers are
            alone in their minibatches; `.seen` is what the evidence at hand would say.
        """
        from cka_plugin.analysis.blocks.certainty import unless_inconclusive
        from cka_plugin.analysis.blocks.detector import block_structure

        name = self.names[0] if name is None else name
        if name not in self._blocks:
            self._blocks[name] = unless_inconclusive(block_structure(self[name]), self[name])
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
            options: `alternative`, `permutations`, `seed` of `analysis.statistics.model_groups.within_between`.

        Raises:
            ValueError: not two groups of two or more, or a model without a group.
        """
        from cka_plugin.analysis.errors.of_models import group_of_each
        from cka_plugin.analysis.statistics.model_groups import within_between

        return within_between(self.models(), group_of_each(self.names, groups), **options)

    def group_errors(self, groups: Mapping[str, str] | Sequence[str], **options: Any) -> GroupComparison:
        """The mistakes of two groups of models, such as seeds of two architectures: see `cka_plugin.compare_groups`.

        Differences are the first group's minus the second's, in the order in which their models come.

        Args:
            groups: as for `groups`.
            options: `super_classes`, `mapping`, `restrict`, `correction`, `level`, `alpha`, ... of `compare_groups`.

        Raises:
            ValueError: as for `errors`; not two groups of two or more, or heads that differ within a group.
        """
        from cka_plugin.analysis.errors.of_models import group_errors_of, group_of_each

        return group_errors_of(list(self.representations.values()), group_of_each(self.names, groups), **options)

    def errors(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        mapping: str | Mapping[str, Any] | None = None,
        restrict: bool = False,
        correction: str = "benjamini-hochberg",
        level: float = 0.95,
        alpha: float = 0.05,
    ) -> ErrorComparison:
        """The mistakes of two models, class by class and example by example; differences are a - b.

        Args:
            a: one model; without both, the pair where two models are compared.
            b: the other.
            mapping: how the classes of the models' heads correspond to those of the labels; see `compare_errors`.
            restrict: let mapped models choose among the mapped classes only; without, any other counts as `other`.
            correction: of p over the classes: `benjamini-hochberg`, `holm` or `none`.
            level: of the intervals.
            alpha: of the flags.

        Raises:
            ValueError: no labels, a model that does not classify, or heads of other classes without a mapping.
        """
        from cka_plugin.analysis.errors.of_models import errors_of

        first, second = self.pair(a, b)
        rules = {"correction": correction, "level": level, "alpha": alpha}
        return errors_of(self[first], self[second], mapping=mapping, restrict=restrict, **rules)

    def agreement(
        self, a: str | None = None, b: str | None = None, *, mapping: str | Mapping[str, Any] | None = None
    ) -> Agreement:
        """How often two models predict the same class, right or wrong: agreement, churn and kappa; needs no labels.

        Args:
            a: one model; without both, the pair where two models are compared.
            b: the other.
            mapping: where the heads have other classes: `"names"`, or {model: {class of its head: class}}.

        Raises:
            ValueError: a model that does not classify, or heads of other classes without a mapping.
        """
        from cka_plugin.analysis.errors.of_models import agreement_of

        first, second = self.pair(a, b)
        return agreement_of(self[first], self[second], mapping)

    def error_matrices(
        self, *, mapping: str | Mapping[str, Any] | None = None, restrict: bool = False
    ) -> ErrorMatrices:
        """Agreement of predictions of every pair of models and, where there are labels, kappa of correctness.

        Args:
            mapping, restrict: as for `errors`.

        Raises:
            ValueError: as for `errors`, or a single model.
        """
        from cka_plugin.analysis.errors.of_models import error_matrices_of

        return error_matrices_of(list(self.representations.values()), mapping=mapping, restrict=restrict)

    def similarity_and_errors(
        self, *, mapping: str | Mapping[str, Any] | None = None, restrict: bool = False, **options: Any
    ) -> SimilarityAndErrors:
        """Do models that represent alike also err alike? Mantel tests over all pairs of models.

        Args:
            mapping, restrict: as for `errors`.
            options: `ranks`, `permutations`, `seed` of `cka_plugin.analysis.errors.agreement.similarity_and_errors`.
        """
        from cka_plugin.analysis.errors.agreement import similarity_and_errors

        return similarity_and_errors(self.models(), self.error_matrices(mapping=mapping, restrict=restrict), **options)

    def examples(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        draws: int = 20,
        seed: int = 0,
        correction: str = "benjamini-hochberg",
        level: float = 0.95,
        alpha: float = 0.05,
    ) -> ExampleComparison:
        """How differently two models place each example, layer by layer at equal depth, the most differently first.

        Args:
            a: one model; without both, the pair where two models are compared.
            b: the other.
            draws: permutations of the examples that give the level of chance.
            seed: of the draws.
            correction: of p over the classes: `benjamini-hochberg`, `holm` or `none`.
            level: of the interval, and the quantile of chance.
            alpha: of the flags.

        Returns:
            An `ExampleComparison`: `.examples`, `.classes`, `.disagreement` (does it foretell other predictions?).

        Raises:
            ValueError: no such model; no layers at equal depth that are alive.
        """
        from cka_plugin.analysis.examples.compare import compare_examples
        from cka_plugin.analysis.statistics.corrections import Decisions

        first, second = self.pair(a, b)
        rules = Decisions(correction, level, alpha)
        return compare_examples(self[first], self[second], draws=draws, seed=seed, rules=rules)

    def summary(self, factors: Mapping[str, Mapping[str, Any]] | None = None) -> Summary:
        """One row a model: its size, accuracy, block structure and the shape of its representations.

        Args:
            factors: what else is known of models: {model: {"width": 8, "n_train": 1000}, ...}.

        Returns:
            A `Summary`; `.relate("parameters", "block_share")` tells whether one figure goes with another.

        Raises:
            ValueError: factors of a model that is not in this comparison.
        """
        from cka_plugin.analysis.families.summary import Summary, check_factors, summarise

        known = {} if factors is None else factors
        check_factors(known, self.names)
        return Summary(
            [
                summarise(
                    self[name],
                    self.matrix(name),
                    None if self[name].projection is not None else self.block_structure(name),
                    known.get(name, {}),
                )
                for name in self.names
            ]
        )

    def to_frame(self, a: str | None = None, b: str | None = None, *, level: float = 0.95) -> pd.DataFrame:
        """Every pair of layers as a row: both models, layers, paths and depths, `cka`, `low`, `high`.

        Of sketches (`sketch=`) also `sketch_error`, the standard error that comes of them.

        Args:
            a: with a model named, its `matrix(a, b)` instead, with the names of layers on both axes.
            b: the other model.
            level: of the intervals.
        """
        import pandas as pd

        from cka_plugin.analysis.layer_pairs import frame_of_matrix, frame_of_pairs

        if a is not None or b is not None:
            first, second = self.pair(a, b)
            layers = self[first].layer_names, self[second].layer_names
            return frame_of_matrix(self.matrix(first, second), (first, second), layers)
        pairs = list(itertools.combinations(self.names, 2)) or [(self.names[0], self.names[0])]
        frames = [
            frame_of_pairs(self.matrix(x, y), self.interval(x, y, level), (x, y), (self.layers(x), self.layers(y)))
            for x, y in pairs
        ]
        if self.sketched:
            for frame, (x, y) in zip(frames, pairs, strict=True):
                frame["sketch_error"] = self.sketch_error(x, y).ravel()
        return pd.concat(frames, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON: models, layers, matrices of all pairs with intervals.

        Of more than 50 models without the matrices of pairs: `matrix` and `interval` give those asked for.
        """
        first = self[self.names[0]]
        few = self.names if len(self.names) <= ATLAS_FROM else []
        result: dict[str, Any] = json_safe(
            {
                "models": [_described(self[name]) for name in self.names],
                "examples": first.n_examples,
                "minibatches": len(first.minibatches),
                "batch_sizes": first.batch_sizes,
                "estimator": self.estimator,
                "skipped": first.skipped,
                "matrices": [self._matrices(a, b) for i, a in enumerate(few) for b in few[i:]],
                "similarity": self.models(),
            }
        )
        return result

    def _matrices(self, a: str, b: str) -> dict[str, Any]:
        low, high = self.interval(a, b)
        sketched = {"sketch_error": self.sketch_error(a, b)} if self.sketched else {}
        return {"a": a, "b": b, "cka": self.matrix(a, b), "low": low, "high": high, **sketched}

    def plot(
        self,
        kind: str | None = None,
        a: str | None = None,
        b: str | None = None,
        *,
        ax: Axes | None = None,
        width: str | float | None = None,
        title: str | None = None,
        **options: Any,
    ) -> Figure:
        """A picture of what was found, for a notebook or a paper.

        Of a pair: `heatmap`, `depth` (similarity along depth with levels), `correspondence` (best matches as lines),
        `classes` (where accuracies differ), `examples` (placed most differently). Of one model: `blocks` (its block
        structure and the cause), `projections` (of examples on first components), `dominant` (examples that make them).
        Of all: `grid` (of heatmaps), `models` (clustered), `model_map`, `agreement` (of predictions),
        `similarity_and_errors`, `summary` (figures of models against their size). By default the heatmap of a pair, or
        where none is named the grid of more than two models, and of more than 12 `models`. Each kind has a function of
        its name in `cka_plugin.report.plots`, where it is described with its options.

        Args:
            kind: of picture. A model's name in its place is taken for `a`, and the heatmap is drawn.
            a: one model; without both, the pair where two models are compared.
            b: the other; without, `a` with itself.
            ax: matplotlib axes to draw in, where the kind has one panel; by default a figure of its own.
            width: `column` (3.25 inches), `text` (6.75 inches), or inches: text is 6 points or more at that size.
            title: over the picture; by default which CKA, on how many examples. `""` for none.
            options: of the kind, such as `limits=(0, 1)` of the colour scale.

        Returns:
            A matplotlib figure: `.savefig("a.png")` gives 300 dpi, `.svg` and `.pdf` what a paper takes; notebooks show
            it.

        Raises:
            ValueError: no such kind or model; the message lists those there are.
            ModuleNotFoundError: matplotlib is not installed: `pip install matplotlib`.

        Example:
            >>> import torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> comparison = cka.compare(nets, data=torch.randn(100, 8), granularity="module", progress=False)
            >>> comparison.plot("heatmap", "a", "b", width="column").get_size_inches()[0]
            np.float64(3.25)
        """
        from cka_plugin.report.kinds.door import KINDS, draw
        from cka_plugin.report.plots.frame import Frame

        if kind is not None and kind not in KINDS and kind in self.names and None in (a, b):
            kind, a, b = None, kind, a if b is None else b
        frame = Frame(ax, width, self.setting if title is None else title)
        return draw(self, kind, (a, b), frame, options)

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        data: Any = None,
        examples: bool = True,
        details: bool | None = None,
        mapping: str | Mapping[str, Any] | None = None,
        restrict: bool = False,
        command: str = "",
    ) -> Path:
        """Write one HTML file that says what differs, shows it, and lets every figure be checked; it loads nothing.

        Args:
            path: of the page.
            data: what the comparison was made on, read again for pictures of examples. A comparison that was made in
                this process has it still; one from a file needs it, or names examples by their ids.
            examples: show examples: small pictures, the beginnings of texts. False, for private data: their ids alone.
            details: also the level of chance and the places of examples, which take as long as many comparisons. None:
                where there are at most 10 pairs of models, of more than 3 by 39 permutations for 199. Of more than 50
                models the page has who is like whom and their families, and pairs only with `details=True`.
            mapping, restrict: as for `errors`.
            command: of a shell that makes this page, where one did.

        Returns:
            The path.

        Raises:
            OSError: the page cannot be written.

        Example:
            >>> import tempfile, torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> comparison = cka.compare(nets, data=torch.randn(200, 8), batch_size=20, progress=False)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     comparison.report(f"{folder}/page.html").stat().st_size < 200_000
            True
        """
        from cka_plugin.report.page.gather import Asked, gather
        from cka_plugin.report.page.write import write

        again = [(command, "In a shell:")] if command else []
        if self.call:
            again.append((f"{self.call}.report({os.fspath(path)!r})", "In Python:"))
        atlas = len(self.names) > ATLAS_FROM and not details
        asked = Asked(self.data if data is None else data, examples, details, mapping, restrict, atlas, again)
        return write(gather(self, asked), path)

    @property
    def setting(self) -> str:
        """Which CKA, on how many examples, in one line: what stands over its pictures."""
        return self._setting()

    def _setting(self, estimator: str | None = None) -> str:
        """Which CKA, on what: there are a dozen, and some depend on n; pooling where it was asked for."""
        first = self[self.names[0]]
        which = f"{first.options.get('kernel', 'linear')} CKA, {estimator or self.estimator}"
        pooling = first.options.get("pooling", "auto")
        which += "" if pooling == "auto" else f", pooling {pooling}"
        sketched = f"; {self.sketched}" if self.sketched else ""
        return f"{which}; {first.n_examples:,} examples in minibatches of {first.batch_sizes[0]}{sketched}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one `.safetensors` file with all representations, atomically; `cka_plugin.load` reads it.

        Raises:
            ValueError: they lie in files and do not fit in memory: those files, compared again, are this comparison.
        """
        if isinstance(self.representations, StoredRepresentations) and not self.representations.fits:
            raise ValueError(
                f"the {len(self.names)} representations do not fit in memory together: keep their files, and compare "
                "these again (their folder, where it is one), or give a larger max_memory"
            )
        records = [representation.to_record() for representation in self.representations.values()]
        notes = {"match": self.match, "estimator": self.estimator}
        return files.write(path, files.Saved(KIND, records, notes))

    def export(
        self, folder: str | os.PathLike[str], format: str = "arrays", programs: Mapping[str, Any] | None = None
    ) -> list[Path]:
        """Write what other tools read, from the stored Gram matrices alone.

        Args:
            folder: a new or an empty one.
            format: `arrays`: features up to a rotation and squared distances, a minibatch at a time, for netrep,
                rsatoolbox and ReSi. The `README.md` written beside them says how each reads them, and which measures
                need features that Gram matrices do not hold (CCA, SVCCA, PWCCA, GULP, single units). `model-explorer`:
                node data for Google's Model Explorer: each layer's best match and CKA on the model's graph. Open a
                graph there (`NAME.graph.json`, or the exported program), then the data by "Add per-node data".
            programs: for `model-explorer`, {model: what `torch.export.export` made of it}: its node data are for the
                graph that Model Explorer draws of the program. Of other models a graph of their layers is written.

        Returns:
            The files.

        Raises:
            ValueError: another format, a folder that is not empty, `model-explorer` of one model, or programs of other
                models.

        Example:
            >>> import tempfile, torch, cka_plugin as cka
            >>> from torch import nn
            >>> nets = {name: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)) for name in "ab"}
            >>> comparison = cka.compare(nets, data=torch.randn(128, 8), granularity="module", progress=False)
            >>> files = comparison.export(f"{tempfile.mkdtemp()}/explorer", format="model-explorer")
            >>> [path.name for path in files][:3]
            ['a.graph.json', 'b.graph.json', 'a.cka-with-b.json']
        """
        from cka_plugin.export.arrays import export_arrays
        from cka_plugin.export.model_explorer import export_model_explorer
        from cka_plugin.export.places import empty_folder

        if format not in EXPORTS:
            raise ValueError(f"format {format!r}: expected {' or '.join(EXPORTS)}")
        models = list(self.representations.values())
        if format == "arrays":
            if programs is not None:
                raise ValueError("programs are for format='model-explorer'; arrays need none")
            return export_arrays(empty_folder(folder), models)
        if len(models) < 2:
            raise ValueError(f"best matches are of two models or more; compared is {self.names[0]} alone")
        found = {pair: self.correspondence(*pair) for pair in itertools.permutations(self.names, 2)}
        return export_model_explorer(empty_folder(folder), models, found, programs)

    @staticmethod
    def of_file(saved: files.Saved, path: str | os.PathLike[str]) -> Comparison:
        """What `save` wrote at `path`, once the file has been read; `cka_plugin.load` does both.

        Raises:
            ValueError: it contradicts itself.
        """
        with files.naming(path):
            representations = [Representation.from_record(record) for record in saved.records]
            return Comparison(representations, estimator=saved.notes["estimator"], match=saved.notes["match"])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from cka_plugin.notebook.card import MOST_ROWS, card
        from cka_plugin.notebook.images import matrix_image

        a, b = self.names[0], self.names[-1]
        setting, picture = [self._setting()], None
        if len(self.names) > FEW_MODELS:  # which may take long
            setting.append("models() computes how alike they are, plot('models') and plot('model_map') draw it.")
        elif len(self.names) > 2:
            picture = matrix_image(
                self.models(), "mean CKA at equal depth of every two models, the first at the bottom"
            )
        else:
            told = f"CKA of the layers of {a} (upwards) and {b} (to the right)"
            picture = matrix_image(self.matrix(a, b), told)
        shown = self.accuracies(self.names[:MOST_ROWS])  # of the rest their number is shown
        rows = [
            [name, len(self.layers(name)), "-" if (right := shown.get(name)) is None else f"{right:.1%}"]
            for name in self.names
        ]
        return card(f"Comparison of {listed(self.names, 4)}", setting, ["model", "layers", "accuracy"], rows, picture)

    def __repr__(self) -> str:
        first = self[self.names[0]]
        models = listed([f"{name} ({len(self.layers(name))} layers)" for name in self.names])
        sketched = f", {self.sketched}" if self.sketched else ""
        return (
            f"Comparison of {models} on {first.n_examples} examples in {len(first.minibatches)} minibatches{sketched}"
        )


def _described(model: Representation) -> dict[str, Any]:
    """A model as plain data."""
    return {
        "name": model.name,
        "layers": model.layers,
        "accuracy": model.accuracy,
        "problems": model.problems,
        "options": model.options,
    }


def _column(sums: Sums, level: float) -> tuple[Floats, Floats, Floats]:
    low, high = sums.interval(level)
    return np.asarray(sums.cka()[:, 0]), np.asarray(low[:, 0]), np.asarray(high[:, 0])
