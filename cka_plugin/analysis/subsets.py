"""CKA on a part of the examples: without some of them, or within classes. Exact, from the packed Gram matrices alone.

U-centring takes off whatever is a row term plus a column term, so the sub-matrix of a U-centred Gram matrix, U-centred
again on the examples that are left, equals the U-centred Gram matrix of these examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.grams import GramVectors, check_minibatches, double, layer_chunks, sums_of
from cka_plugin.core import MIN_EXAMPLES, Floats, Sums, examples_of, pack, pairs_of, u_center, unpack


def on_examples(vectors: npt.NDArray[np.floating], kept: npt.NDArray[np.intp]) -> Floats:
    """Packed U-centred Gram matrices of some examples of a minibatch.

    Args:
        vectors: (layers, n(n-1)/2) packed U-centred Gram matrices of n examples.
        kept: (m,) which of the n stay, at least 4.

    Returns:
        (layers, m(m-1)/2) float64.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> x = np.random.default_rng(0).normal(size=(9, 3))
        >>> part = on_examples(pack_layers([x], [np.arange(9)]).vectors[0], np.arange(5))
        >>> np.allclose(part, pack_layers([x[:5]], [np.arange(5)]).vectors[0])
        True
    """
    m = len(kept)
    part = np.empty((len(vectors), pairs_of(m)))
    for chunk in layer_chunks(len(vectors), examples_of(vectors.shape[1])):
        matrices = unpack(double(vectors[chunk]))[:, kept][:, :, kept]
        part[chunk] = pack(u_center(matrices)[0]).numpy()
    return part


def cka_without_examples(a: GramVectors, left_out: Sequence[int], b: GramVectors | None = None) -> Sums:
    """CKA of every pair of layers without some examples, the same for all layers.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        left_out: positions of the examples left out, as in `a.positions`.
        b: a second model's on the same minibatches; without it, `a` with itself.

    Returns:
        The sums of inner products; minibatches left with fewer than 4 examples are not in them.

    Raises:
        ValueError: unlike minibatches, or no minibatch with 4 examples left.
    """
    check_minibatches(a, b)
    gone = np.asarray(left_out, dtype=np.int64)
    kept = [np.flatnonzero(~np.isin(positions, gone)) for positions in a.positions]
    usable = [index for index, rest in enumerate(kept) if len(rest) >= MIN_EXAMPLES]
    if not usable:
        raise ValueError(
            f"without {len(gone)} examples no minibatch keeps the {MIN_EXAMPLES} that CKA needs; leave fewer out"
        )

    def parts() -> Iterator[tuple[Floats, Floats]]:
        for index in usable:
            part = on_examples(a.vectors[index], kept[index])
            yield part, part if b is None else on_examples(b.vectors[index], kept[index])

    return sums_of(parts(), [a.passes[index] for index in usable])


def cka_within_classes(a: GramVectors, labels: npt.ArrayLike, b: GramVectors | None = None) -> Sums:
    """CKA of every pair of layers within classes: what they share beyond telling the classes apart.

    Each class in each minibatch is U-centred on its own; inner products add up over classes and minibatches.

    Args:
        a: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        labels: (n_examples,) class of each example.
        b: a second model's on the same minibatches; without it, `a` with itself.

    Returns:
        The sums of inner products, an entry a minibatch that holds 4 or more examples of some class.

    Raises:
        ValueError: unlike minibatches, too few labels, or nowhere 4 examples of one class in one minibatch.
    """
    check_minibatches(a, b)
    classes = np.asarray(labels)
    last = max(int(np.max(positions)) for positions in a.positions)
    if classes.ndim != 1 or len(classes) <= last:
        raise ValueError(f"labels of shape {classes.shape}: expected one a position up to {last}")
    groups = [_classes_of(classes[positions]) for positions in a.positions]
    usable = [index for index, found in enumerate(groups) if found]
    if not usable:
        raise ValueError(
            f"no minibatch holds {MIN_EXAMPLES} examples of one class: "
            "CKA within classes needs larger minibatches or fewer classes"
        )

    def parts() -> Iterator[tuple[Floats, Floats]]:
        for index in usable:
            part = np.concatenate([on_examples(a.vectors[index], members) for members in groups[index]], axis=1)
            other = part
            if b is not None:
                other = np.concatenate([on_examples(b.vectors[index], members) for members in groups[index]], axis=1)
            yield part, other

    return sums_of(parts(), [a.passes[index] for index in usable])


def _classes_of(labels: npt.NDArray[np.generic]) -> list[npt.NDArray[np.intp]]:
    """Members of each class that has enough of them."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [found for found in members if len(found) >= MIN_EXAMPLES]
