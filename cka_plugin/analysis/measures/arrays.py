"""The similarity of two arrays of activations by any measure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cka_plugin.analysis.measures.gram_matrices import GramMatrices
from cka_plugin.analysis.measures.registry import CKA, measure_of
from cka_plugin.core import cka, gram, recover_centered, u_center
from cka_plugin.core.similarity import check_kernel, checked_pair, problem_of
from cka_plugin.warnings import warn


def similarity(
    x: Any, y: Any, measure: str = CKA, *, kernel: str = "linear", bandwidth: float = 0.5, **options: Any
) -> float:
    """Similarity of two arrays of activations on the same examples, computed in float64.

    Args:
        x: (n, ...) array or tensor, one row an example; further axes are flattened.
        y: (n, ...) likewise, any number of features.
        measure: `cka`; `mutual_knn` (Huh et al. 2024; options `k`, `above_chance`); `rsa` (Kriegeskorte et al. 2008;
            option `correlation`); `bures` (Williams et al. 2021); or one registered by `register_measure`. All are
            invariant to rotations and to scaling of either side.
        kernel: `linear` or `rbf`.
        bandwidth: for `rbf`, σ as a multiple of the median distance.
        options: of the measure; of `cka` its `estimator`.

    Returns:
        The similarity. NaN, with a warning that says why, where either side is constant or not finite. Only unbiased
        CKA and RSA do not depend on n in expectation.

    Raises:
        ValueError: unequal numbers of examples, too few of them, or an unknown measure or option.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(50, 8))
        >>> turned = x @ np.linalg.qr(rng.normal(size=(8, 8)))[0] * 3 + 1
        >>> [round(similarity(x, turned, measure), 6) for measure in ("cka", "mutual_knn", "rsa", "bures")]
        [1.0, 1.0, 1.0, 1.0]
    """
    if measure == CKA:
        return cka(x, y, kernel=kernel, bandwidth=bandwidth, **options)
    chosen = measure_of(measure, options)
    check_kernel(kernel)
    first, second = checked_pair(x, y)
    if reason := chosen.too_small(len(first), **options):
        raise ValueError(f"given {len(first)} examples: {reason}")
    grams = []
    for name, rows in (("x", first), ("y", second)):
        k, _ = gram(rows, kernel, bandwidth)
        a, diagonal = u_center(k)
        if problem := problem_of(rows, float((a * a).sum()), diagonal):
            warn(f"{measure} is NaN: {name} is {problem}")
            return float("nan")
        roots = _roots(rows) if kernel == "linear" else None
        grams.append(GramMatrices(recover_centered(a, diagonal)[None], torch.finfo(a.dtype).eps, roots))
    return float(chosen.between(*grams, **options)[0, 0])


def _roots(rows: Tensor) -> Tensor:
    """(1, n, r) centred activations of about unit size, on their principal components: K' to full precision."""
    centred = rows - rows[:1]
    centred = centred / centred.abs().max()
    centred = centred - centred.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    return (u * s)[None]
