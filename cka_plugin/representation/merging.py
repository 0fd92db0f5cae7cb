"""Parts of one run put together: shards, and what the ranks of a process group made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cka_plugin.representation.content import Content, ExampleId
from cka_plugin.representation.matching import check_same_run
from cka_plugin.representation.minibatch import Minibatch
from cka_plugin.representation.problems import find_problems
from cka_plugin.representation.scales import ScaleKeeper
from cka_plugin.storage.vectors import VectorStore, budget_bytes, release

C = TypeVar("C", bound=Content)

_NEVER = np.iinfo(np.int64).max


def merge_shards(parts: Sequence[C], max_memory: int | float | str = "auto") -> C:
    """The whole that shards are of; see `Representation.merge`.

    Raises:
        ValueError: no parts, a part that is missing or given twice, or parts of other runs.
    """
    if not parts:
        raise ValueError("merge was given no parts")
    first = next((part for part in parts if part.minibatches), parts[0])
    for part in parts:
        check_same_run(first, part)
    if first.shard is not None:
        _check_complete(first.name, [part.shard for part in parts if part.shard is not None])
    elif len(parts) > 1:
        raise ValueError(f"{first.name}: a whole representation cannot be merged with others; only shards (I/N) can")
    return join(parts, VectorStore(budget_bytes(max_memory)))


def join(parts: Sequence[C], store: VectorStore | None) -> C:
    """Concatenate parts of one run by the numbers of their minibatches; examples by their rank.

    Args:
        parts: of one model.
        store: where the vectors of the whole are to lie; None uses those of the parts, which are changed in place.
    """
    parts = _with_names_in_common([part for part in parts if part.minibatches] or list(parts[:1]))
    first = parts[0]
    ranks = np.unique(np.concatenate([part.ranks for part in parts]))
    examples = _join_examples(parts, ranks)
    minibatches, exponents = _join_minibatches(parts, ranks, store)
    return replace(
        first,
        minibatches=minibatches,
        example_ids=examples.ids,
        fingerprints=examples.fingerprints,
        ranks=np.arange(len(ranks), dtype=np.int64),
        exponents=exponents,
        logits=examples.logits,
        labels=examples.labels,
        problems=find_problems(first.layers, minibatches),
        skipped=sorted({example for part in parts for example in part.skipped}, key=str),
        options=first.options | _widest(parts),
        shard=None,
        beside={
            key: join([part.beside[key] for part in parts], store)
            for key in first.beside
            if all(key in part.beside for part in parts)
        },
    )


def _widest(parts: Sequence[Content]) -> dict[str, Any]:
    """What is remembered of the model, with the features of its widest layer in any part; nothing where none knows."""
    about = [part.options.get("model") or {} for part in parts]
    known = [told["features"] for told in about if told.get("features") is not None]
    return {"model": about[0] | {"features": max(known)}} if known else {}


def _with_names_in_common(parts: Sequence[C]) -> Sequence[C]:
    """The same parts with one numbering of classes: where labels were words, each part knows those that it read."""
    named = [part.label_names for part in parts if part.label_names is not None]
    if len(named) < len(parts) or all(names == named[0] for names in named):
        return parts
    union = sorted({name for names in named for name in names})
    places = [np.array([union.index(name) for name in names], dtype=np.int64) for names in named]
    return [
        replace(part, label_names=union, labels=None if part.labels is None else place[part.labels])
        for part, place in zip(parts, places, strict=True)
    ]


@dataclass
class _Examples:
    """What belongs to the examples of the whole, in the order of their ranks."""

    ids: list[ExampleId]
    fingerprints: npt.NDArray[np.uint64]
    logits: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.int64] | None


def _join_examples(parts: Sequence[Content], ranks: npt.NDArray[np.int64]) -> _Examples:
    count = len(ranks)
    examples = _Examples([0] * count, np.zeros(count, dtype=np.uint64), None, None)
    scores = [part.logits for part in parts if part.logits is not None]
    if len(scores) == len(parts):
        examples.logits = np.zeros((count, scores[0].shape[1]), dtype=np.float32)
    if all(part.labels is not None for part in parts):
        examples.labels = np.zeros(count, dtype=np.int64)
    seen = np.full(count, _NEVER)
    for part in parts:
        to = np.searchsorted(ranks, part.ranks)
        for position, example_id in zip(to, part.example_ids, strict=True):
            examples.ids[position] = example_id
        examples.fingerprints[to] = part.fingerprints
        if examples.labels is not None and part.labels is not None:
            examples.labels[to] = part.labels
        first_in = np.full(len(to), _NEVER)
        for minibatch in part.minibatches:
            first_in[minibatch.positions] = np.minimum(first_in[minibatch.positions], minibatch.index)
        earlier = first_in < seen[to]
        seen[to[earlier]] = first_in[earlier]
        if examples.logits is not None and part.logits is not None:
            examples.logits[to[earlier]] = part.logits[earlier]  # of several passes the first counts, as in one process
    return examples


def _join_minibatches(
    parts: Sequence[Content], ranks: npt.NDArray[np.int64], store: VectorStore | None
) -> tuple[list[Minibatch], npt.NDArray[np.int64]]:
    """All minibatches in the order of the whole run, brought to one scale a layer, and the exponents of that."""
    keeper = ScaleKeeper(len(parts[0].layers))
    joined = []
    numbered = [(minibatch, part) for part in parts for minibatch in part.minibatches]
    for minibatch, part in sorted(numbered, key=lambda pair: pair[0].index):
        vectors, diagonals = minibatch.vectors, minibatch.diagonals
        if store is not None:
            vectors, diagonals = store.keep(np.array(vectors)), np.array(diagonals)
            release(minibatch.vectors, minibatch.diagonals)
        keeper.add(vectors, diagonals, part.exponents)
        positions = np.searchsorted(ranks, part.ranks[minibatch.positions]).astype(np.int64)
        joined.append(replace(minibatch, vectors=vectors, diagonals=diagonals, positions=positions))
    return joined, keeper.exponents


def _check_complete(name: str, shards: Sequence[tuple[int, int]]) -> None:
    """Raise a ValueError unless every one of the shards is there, once."""
    count = shards[0][1]
    given = [number for number, _ in shards]
    missing = sorted(set(range(count)) - set(given))
    if missing:
        raise ValueError(f"shards {', '.join(f'{i}/{count}' for i in missing)} of {name} are missing")
    twice = sorted({i for i in given if given.count(i) > 1})
    if twice:
        raise ValueError(f"shards {', '.join(f'{i}/{count}' for i in twice)} of {name} are given more than once")
