"""What a model made of a data set: one packed Gram vector a layer and minibatch, and its predictions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cka_plugin.adapters.base import Layer
from cka_plugin.core.similarity import DEGENERATE, self_products
from cka_plugin.storage.vectors import VectorStore, budget_bytes, release
from cka_plugin.wording import listed

ExampleId: TypeAlias = int | str
Array: TypeAlias = npt.NDArray[Any]

# Options that two representations must share for their similarity to mean anything.
COMPARABLE = ("kernel", "bandwidth")


@dataclass(frozen=True)
class Minibatch:
    """One minibatch of a representation: the vectors of all layers, and which examples they are of.

    Attributes:
        vectors: (layers, n(n-1)/2) float32, packed U-centred Gram matrices.
        diagonals: (layers, n) float32, the diagonals of HKH.
        positions: (n,) int, positions in the representation's `example_ids`.
        index: its number in the whole run, all passes and shards counted.
        pass_index: which pass over the data it belongs to, from 0.
    """

    vectors: Array
    diagonals: Array
    positions: npt.NDArray[np.int64]
    index: int
    pass_index: int

    @property
    def size(self) -> int:
        """Number of examples n."""
        return len(self.positions)


@dataclass(frozen=True)
class Representation:
    """What one model made of one data set; compare it with any other of the same examples, now or next year.

    Attributes:
        name: the model's name in comparisons.
        layers: the layers, in the order in which they fire.
        minibatches: the Gram vectors, one `Minibatch` after the other.
        example_ids: one id an example, in the order of reading: 0, 1, ... or relative paths.
        fingerprints: (n_examples,) uint64, of the raw content of each example.
        ranks: (n_examples,) int, each example's place in the whole run's order of reading; 0, 1, ... but in a shard.
        exponents: (layers,) int: a layer's Gram matrices are `2**exponent` times what is stored; ratios do not
            depend on it.
        logits: (n_examples, classes) float32, or None where the model does not classify.
        labels: (n_examples,) int64, or None.
        class_names: names of the model's classes, in the order of the logits, or None.
        label_names: names of the labels, or None.
        problems: layer name -> why its similarity is NaN.
        skipped: ids of examples that could not be read (`on_error="skip"`).
        options: how it was made: kernel, bandwidth, estimator, pooling, batch_size, passes, seed, precision,
            granularity.
        shard: (i, n) for the i-th of n parts; None for a whole.
    """

    name: str
    layers: list[Layer]
    minibatches: list[Minibatch]
    example_ids: list[ExampleId]
    fingerprints: npt.NDArray[np.uint64]
    ranks: npt.NDArray[np.int64]
    exponents: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[np.int64] | None = None
    class_names: list[str] | None = None
    label_names: list[str] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    skipped: list[ExampleId] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    shard: tuple[int, int] | None = None

    @property
    def n_examples(self) -> int:
        """Number of different examples."""
        return len(self.example_ids)

    @property
    def batch_sizes(self) -> list[int]:
        """Number of examples of each minibatch."""
        return [minibatch.size for minibatch in self.minibatches]

    @property
    def vectors(self) -> list[Array]:
        """The packed vectors of each minibatch: (layers, n(n-1)/2)."""
        return [minibatch.vectors for minibatch in self.minibatches]

    @property
    def diagonals(self) -> list[Array]:
        """The diagonals of HKH of each minibatch: (layers, n)."""
        return [minibatch.diagonals for minibatch in self.minibatches]

    @property
    def positions(self) -> list[npt.NDArray[np.int64]]:
        """Which examples each minibatch holds, as positions in `example_ids`."""
        return [minibatch.positions for minibatch in self.minibatches]

    @property
    def passes(self) -> list[int]:
        """The pass that each minibatch belongs to."""
        return [minibatch.pass_index for minibatch in self.minibatches]

    @property
    def layer_names(self) -> list[str]:
        """Common names of the layers."""
        return [layer.name for layer in self.layers]

    @property
    def predictions(self) -> npt.NDArray[np.int64] | None:
        """(n_examples,) the class of the largest logit; None without logits."""
        return None if self.logits is None else self.logits.argmax(1).astype(np.int64)

    @property
    def accuracy(self) -> float | None:
        """Share of examples predicted as labelled; None without labels that are the model's classes."""
        if self.predictions is None or self.labels is None or self.logits is None:
            return None
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < self.logits.shape[1]:
            return None
        return float((self.predictions == self.labels).mean())

    def __repr__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.1%}"
        part = "" if self.shard is None else f", shard {self.shard[0]} of {self.shard[1]}"
        return (
            f"Representation({self.name!r}: {len(self.layers)} layers, {self.n_examples} examples in "
            f"{len(self.minibatches)} minibatches{accuracy}{part})"
        )

    def renamed(self, name: str) -> Representation:
        """The same under another name."""
        return replace(self, name=name)

    def position_of(self, layer: str) -> int:
        """Position of a layer by its name.

        Raises:
            ValueError: there is no such layer; the message lists those there are.
        """
        for position, candidate in enumerate(self.layers):
            if layer in (candidate.name, candidate.path):
                return position
        raise ValueError(f"layer {layer!r} is not in {self.name}: it has {listed(self.layer_names)}")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one `.safetensors` file, atomically; returns its path."""
        from cka_plugin.representation.files import save_representation

        return save_representation(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Representation:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is truncated, was not written by this package, or by a newer version of it.
        """
        from cka_plugin.representation.files import load_representation

        return load_representation(path)

    @staticmethod
    def merge(
        parts: Iterable[Representation | str | os.PathLike[str]], max_memory: int | float | str = "auto"
    ) -> Representation:
        """Put the shards of one run together: the same as the whole, whatever the order of the parts.

        Args:
            parts: representations made with `--shard I/N` (or their files), all N of them, in any order.
            max_memory: for the vectors, as for `represent`.

        Raises:
            ValueError: a part is missing, given twice, or of another model, data or options.
        """
        return merge(parts, max_memory)


class ScaleKeeper:
    """Keeps one power of two a layer, the same for every minibatch.

    The first minibatch in which a layer is alive sets its exponent. A later one is brought to it, exactly; one that
    would
    overflow float32 products there raises the exponent, and the earlier ones are brought to the new one.
    """

    HEADROOM = 40  # vectors times 2**40 still have float32 squares

    def __init__(self, layers: int) -> None:
        self.exponents = np.zeros(layers, dtype=np.int64)
        self.alive = np.zeros(layers, dtype=bool)
        self.blocks: list[tuple[Array, Array]] = []

    def add(self, vectors: Array, diagonals: Array, exponents: npt.NDArray[np.int64]) -> None:
        """Take one minibatch, whose arrays are changed in place."""
        live = (np.abs(diagonals).max(axis=1) > 0) & np.isfinite(diagonals).all(axis=1)
        new = live & ~self.alive
        self.exponents[new] = exponents[new]
        self.alive |= new
        shift = np.where(live, exponents - self.exponents, 0)
        for layer in np.flatnonzero(shift > self.HEADROOM):
            for earlier_vectors, earlier_diagonals in self.blocks:
                _scale(earlier_vectors[layer], -int(shift[layer]))
                _scale(earlier_diagonals[layer], -int(shift[layer]))
            self.exponents[layer] = exponents[layer]
            shift[layer] = 0
        for layer in np.flatnonzero(shift):
            _scale(vectors[layer], int(shift[layer]))
            _scale(diagonals[layer], int(shift[layer]))
        self.blocks.append((vectors, diagonals))


def _scale(row: Array, exponent: int) -> None:
    np.ldexp(row, exponent, out=row)


def find_problems(layers: Sequence[Layer], minibatches: Sequence[Minibatch]) -> dict[str, str]:
    """Layers whose similarity is undefined, with the reason."""
    problems: dict[str, str] = {}
    if not minibatches:
        return problems
    norms = np.zeros(len(layers))
    scales = np.zeros(len(layers))
    broken: dict[int, int] = {}
    for minibatch in minibatches:
        finite = np.isfinite(minibatch.diagonals).all(axis=1)
        own = self_products(minibatch.vectors, minibatch.diagonals)
        for place in np.flatnonzero(~(finite & np.isfinite(own))):
            broken.setdefault(int(place), minibatch.index)
        release(minibatch.vectors)
        norms += own
        scales += np.square(minibatch.diagonals.astype(np.float64)).sum(axis=1)
    for position, layer in enumerate(layers):
        if position in broken:
            problems[layer.name] = (
                f"its activations are not finite (NaN or infinity), first in minibatch {broken[position]}"
            )
        elif scales[position] == 0.0:
            problems[layer.name] = "it is constant: every example gives the same activations"
        elif norms[position] <= DEGENERATE * scales[position]:
            problems[layer.name] = "it has no structure: every pair of examples is equally similar"
    return problems


def merge(
    parts: Iterable[Representation | str | os.PathLike[str]], max_memory: int | float | str = "auto"
) -> Representation:
    """See `Representation.merge`."""
    loaded = [p if isinstance(p, Representation) else Representation.load(p) for p in parts]
    if not loaded:
        raise ValueError("merge was given no parts")
    first = next((part for part in loaded if part.minibatches), loaded[0])
    for part in loaded:
        _check_same_run(first, part)
    if first.shard is not None:
        count = first.shard[1]
        given = sorted(part.shard[0] for part in loaded if part.shard is not None)
        missing = sorted(set(range(count)) - set(given))
        if missing:
            raise ValueError(f"shards {', '.join(f'{i}/{count}' for i in missing)} of {first.name} are missing")
        if len(given) != len(set(given)):
            twice = sorted({i for i in given if given.count(i) > 1})
            raise ValueError(
                f"shards {', '.join(f'{i}/{count}' for i in twice)} of {first.name} are given more than once"
            )
    elif len(loaded) > 1:
        raise ValueError(f"{first.name}: a whole representation cannot be merged with others; only shards (I/N) can")
    return join(loaded, VectorStore(budget_bytes(max_memory)))


def join(parts: Sequence[Representation], store: VectorStore | None) -> Representation:
    """Concatenate parts of one run by the numbers of their minibatches; examples by their rank.

    Args:
        parts: of one model.
        store: where the vectors of the whole are to lie; None uses those of the parts, which are changed in place.
    """
    parts = [part for part in parts if part.minibatches] or list(parts[:1])
    first = parts[0]
    ranks = np.unique(np.concatenate([part.ranks for part in parts]))
    place = {int(rank): position for position, rank in enumerate(ranks)}
    ids: list[ExampleId] = [0] * len(ranks)
    fingerprints = np.zeros(len(ranks), dtype=np.uint64)
    logits = None if first.logits is None else np.zeros((len(ranks), first.logits.shape[1]), dtype=np.float32)
    labels = None if first.labels is None else np.zeros(len(ranks), dtype=np.int64)
    seen = np.full(len(ranks), np.iinfo(np.int64).max)
    for part in parts:
        to = np.array([place[int(rank)] for rank in part.ranks], dtype=np.int64)
        first_in = np.full(len(to), np.iinfo(np.int64).max)
        for minibatch in part.minibatches:
            first_in[minibatch.positions] = np.minimum(first_in[minibatch.positions], minibatch.index)
        earlier = first_in < seen[to]
        seen[to[earlier]] = first_in[earlier]
        for position, example_id in zip(to, part.example_ids, strict=True):
            ids[position] = example_id
        fingerprints[to] = part.fingerprints
        if logits is not None and part.logits is not None:
            logits[to[earlier]] = part.logits[earlier]  # of several passes the first counts, as in one process
        if labels is not None and part.labels is not None:
            labels[to] = part.labels
    keeper = ScaleKeeper(len(first.layers))
    merged: list[Minibatch] = []
    numbered = sorted(
        ((minibatch, part) for part in parts for minibatch in part.minibatches), key=lambda pair: pair[0].index
    )
    for minibatch, part in numbered:
        vectors, diagonals = minibatch.vectors, minibatch.diagonals
        if store is not None:
            vectors, diagonals = store.keep(np.array(vectors)), np.array(diagonals)
            release(minibatch.vectors, minibatch.diagonals)
        keeper.add(vectors, diagonals, part.exponents)
        global_ranks = part.ranks[minibatch.positions]
        positions = np.array([place[int(rank)] for rank in global_ranks], dtype=np.int64)
        merged.append(Minibatch(vectors, diagonals, positions, minibatch.index, minibatch.pass_index))
    return replace(
        first,
        minibatches=merged,
        example_ids=ids,
        fingerprints=fingerprints,
        ranks=np.arange(len(ranks), dtype=np.int64),
        exponents=keeper.exponents,
        logits=logits,
        labels=labels,
        problems=find_problems(first.layers, merged),
        skipped=sorted({example for part in parts for example in part.skipped}, key=str),
        shard=None,
    )


def _check_same_run(first: Representation, other: Representation) -> None:
    if not (first.minibatches and other.minibatches):  # a shard without data has no layers
        other = replace(other, layers=first.layers)
    what = differences(first, other, options=True)
    if (first.shard is None) != (other.shard is None) or (
        first.shard is not None and other.shard is not None and first.shard[1] != other.shard[1]
    ):
        what.append(f"shard {first.shard} and {other.shard}")
    if what:
        raise ValueError(f"{first.name} and {other.name} are not parts of one run: {'; '.join(what)}")


def differences(a: Representation, b: Representation, options: bool = False) -> list[str]:
    """What differs in how two representations were made: all options, or those that comparing needs."""
    found = []
    if options and a.layers != b.layers:
        found.append(f"layers {listed(a.layer_names, 4)} and {listed(b.layer_names, 4)}")
    keys: Iterable[str] = sorted({*a.options, *b.options}) if options else COMPARABLE
    for key in keys:
        mine, other = a.options.get(key), b.options.get(key)
        if key == "bandwidth" and a.options.get("kernel") == "linear" == b.options.get("kernel"):
            continue
        if mine != other:
            found.append(f"{key} {mine!r} and {other!r}")
    return found


def check_comparable(a: Representation, b: Representation, match: str = "content") -> None:
    """Raise unless two representations are of the same examples, in the same order, in the same minibatches.

    Args:
        a: one.
        b: the other.
        match: `content`: ids and fingerprints must agree; `ids`: ids alone (the same examples in another encoding).

    Raises:
        ValueError: they are not; the message says what differs.
    """
    if match not in ("content", "ids"):
        raise ValueError(f"match {match!r}: expected 'content' or 'ids'")
    what = differences(a, b)
    for one in (a, b):
        if one.shard is not None:
            what.append(f"{one.name} is shard {one.shard[0]} of {one.shard[1]}: merge the shards first")
    if a.n_examples != b.n_examples:
        what.append(f"{a.n_examples} and {b.n_examples} examples")
    elif a.example_ids != b.example_ids:
        if set(a.example_ids) == set(b.example_ids):
            what.append("the same examples in another order (give the same seed, or the data as it was)")
        else:
            place = next(i for i, (x, y) in enumerate(zip(a.example_ids, b.example_ids, strict=True)) if x != y)
            what.append(f"other examples (example {place} is {a.example_ids[place]!r} and {b.example_ids[place]!r})")
    elif match == "content" and not np.array_equal(a.fingerprints, b.fingerprints):
        unlike = np.flatnonzero(a.fingerprints != b.fingerprints)
        what.append(
            f"the content of {len(unlike)} of {a.n_examples} examples (first {a.example_ids[unlike[0]]!r}); if "
            "they are the "
            "same examples in another encoding, say match='ids'"
        )
    if not what and a.batch_sizes != b.batch_sizes:
        what.append(f"minibatches of {_sizes(a)} and {_sizes(b)} examples")
    if not what and any(not np.array_equal(p, q) for p, q in zip(a.positions, b.positions, strict=True)):
        what.append("the examples fall into other minibatches")
    if what:
        raise ValueError(f"{a.name} and {b.name} cannot be compared, they differ in: {'; '.join(what)}")


def _sizes(representation: Representation) -> str:
    sizes = representation.batch_sizes
    return str(sizes[0]) if len(set(sizes)) == 1 else f"{sizes[0]} ... {sizes[-1]}"
