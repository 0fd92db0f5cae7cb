"""Whether two representations may be compared, or are parts of one run; and what differs where not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from cka_plugin.representation.content import Content
from cka_plugin.wording import listed

# Options that two representations must share for their similarity to mean anything.
COMPARABLE = ("kernel", "bandwidth", "sketch")


def check_comparable(a: Content, b: Content, match: str = "content") -> None:
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
            f"the content of {len(unlike)} of {a.n_examples} examples (first {a.example_ids[unlike[0]]!r}); if they "
            "are the same examples in another encoding, say match='ids'"
        )
    if not what and a.batch_sizes != b.batch_sizes:
        if _sizes(a) == _sizes(b):
            what.append(f"{len(a.minibatches)} and {len(b.minibatches)} minibatches")
        else:
            what.append(f"minibatches of {_sizes(a)} and {_sizes(b)} examples")
    if not what and any(not np.array_equal(p, q) for p, q in zip(a.positions, b.positions, strict=True)):
        what.append("the examples fall into other minibatches")
    if what:
        raise ValueError(f"{a.name} and {b.name} cannot be compared, they differ in: {'; '.join(what)}")


def differences(a: Content, b: Content, options: bool = False) -> list[str]:
    """What differs in how two representations were made: all options, or those that comparing needs."""
    found = []
    if options and a.layers != b.layers:
        found.append(f"layers {listed(a.layer_names, 4)} and {listed(b.layer_names, 4)}")
    keys: Iterable[str] = sorted({*a.options, *b.options}) if options else COMPARABLE
    for key in keys:
        mine, other = a.options.get(key), b.options.get(key)
        if key == "bandwidth" and a.options.get("kernel") == "linear" == b.options.get("kernel"):
            continue
        if key == "model":  # texts of other lengths, flattened, make other widths in other parts of a run
            mine, other = ({**(told or {}), "features": None} for told in (mine, other))
        if mine != other and key == "sketch":
            found.append(f"what is kept of Gram matrices ({_kept(a)} and {_kept(b)}): give both the same sketch=")
        elif mine != other:
            found.append(f"{key} {mine!r} and {other!r}")
    return found


def check_same_run(first: Content, other: Content) -> None:
    """Raise a ValueError unless two are parts of one run."""
    if not (first.minibatches and other.minibatches):  # a shard without data has no layers
        other = replace(other, layers=first.layers)
    what = differences(first, other, options=True)
    if (first.shard is None) != (other.shard is None) or (
        first.shard is not None and other.shard is not None and first.shard[1] != other.shard[1]
    ):
        what.append(f"shard {first.shard} and {other.shard}")
    if what:
        raise ValueError(f"{first.name} and {other.name} are not parts of one run: {'; '.join(what)}")


def _kept(content: Content) -> str:
    held = content.projection
    return "all" if held is None else f"{held.kind} of {held.size:,} a minibatch, seed {held.seed}"


def _sizes(content: Content) -> str:
    sizes = content.batch_sizes or [0]
    return str(sizes[0]) if len(set(sizes)) == 1 else f"{sizes[0]} ... {sizes[-1]}"
