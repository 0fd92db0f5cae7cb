"""CKA without the components that a run of layers shares: one and the same directions taken out of every layer.

`removal` takes from each layer its own first component, as Nguyen et al. 2021 do. The layers around a run then lose
another one than the run does. Here all lose what the run shares, so that what is left says whether the run would be
set off from its surroundings without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cka_plugin.analysis.components.principal import leading_eigenpairs
from cka_plugin.analysis.components.removal import ROUNDING, project_out
from cka_plugin.analysis.grams import GramVectors, alive_rows, check_minibatches, double, layer_chunks, sums_of
from cka_plugin.core import Floats, Sums, pack, recover_centered, unpack


def cka_without_shared_components(
    grams: GramVectors, run: Sequence[int], count: int = 1, layers: Sequence[int] | None = None
) -> Sums:
    """CKA of layers after each has lost the first components that the layers of a run share.

    The shared components of a minibatch are the leading eigenvectors of the mean of the run's centred Gram matrices,
    each scaled to unit trace. They are projected out as in `without_first_component`, so nothing of them is left as
    bias.

    Args:
        grams: a representation, or anything else with its `vectors`, `diagonals`, `positions` and `passes`.
        run: positions of the layers of the run.
        count: how many components to remove.
        layers: positions of the layers to compare. Default: all.

    Returns:
        The sums of inner products: `.cka()` is (layers, layers), NaN where nothing remains of a layer.

    Raises:
        ValueError: fewer than one component, or a run without a layer that is alive.

    Example:
        >>> from cka_plugin.analysis.grams import pack_layers
        >>> rng = np.random.default_rng(0)
        >>> shared = 20 * np.outer(rng.normal(size=64), rng.normal(size=10))  # all that the first two have in common
        >>> noise = [rng.normal(size=(64, 10)) for _ in range(3)]
        >>> made = pack_layers([shared + noise[0], shared + noise[1], noise[2]], [np.arange(64)])
        >>> bool(abs(cka_without_shared_components(made, [0, 1]).cka()[0, 1]) < 0.05)
        True
    """
    check_minibatches(grams)
    if count < 1:
        raise ValueError(f"count {count}: at least one component is removed")
    chosen = np.arange(len(grams.vectors[0])) if layers is None else np.asarray(layers, dtype=np.int64)

    def rests() -> Iterator[tuple[Floats, Floats]]:
        for vectors, diagonals in zip(grams.vectors, grams.diagonals, strict=True):
            rest = _rest(vectors, diagonals, _shared(vectors, diagonals, run, count), chosen)
            yield rest, rest

    return sums_of(rests(), grams.passes)


def _shared(vectors: np.ndarray, diagonals: np.ndarray, run: Sequence[int], count: int) -> np.ndarray:
    """(n, count) directions that the layers of the run share in a minibatch."""
    alive = np.intersect1d(alive_rows(vectors, diagonals), np.asarray(run, dtype=np.int64))
    n = diagonals.shape[1]
    total = np.zeros((n, n))
    for chunk in layer_chunks(alive.size, n):
        part = alive[chunk]
        k = recover_centered(unpack(double(vectors[part])), double(diagonals[part]))
        traces = k.diagonal(dim1=-2, dim2=-1).sum(-1)
        total += (k[traces > 0] / traces[traces > 0, None, None]).sum(0).numpy()
    if not total.any():
        raise ValueError(f"no layer of the run {list(run)} varies over a minibatch: it shares no component")
    return np.asarray(leading_eigenpairs(double(total), min(count, n))[1].numpy())


def _rest(vectors: np.ndarray, diagonals: np.ndarray, shared: np.ndarray, chosen: np.ndarray) -> Floats:
    """(chosen layers, n(n-1)/2): packed matrices with the shared directions projected out; NaN where not finite."""
    n = diagonals.shape[1]
    rest = np.full((chosen.size, vectors.shape[1]), np.nan)
    rows = np.flatnonzero(np.isin(chosen, alive_rows(vectors, diagonals)))
    for chunk in layer_chunks(rows.size, n):
        part = rows[chunk]
        a = unpack(double(vectors[chosen[part]]))
        sizes = a.flatten(-2).norm(dim=-1)
        residual = pack(project_out(a, double(shared).expand(len(part), -1, -1)))
        residual[residual.norm(dim=-1) <= ROUNDING * sizes] = 0.0
        rest[part] = residual.numpy()
    return rest
