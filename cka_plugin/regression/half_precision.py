"""A representation in half precision: half the size, for CKA and predictions alone, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cka_plugin.comparison import Comparison
from cka_plugin.representation import Representation

_LARGEST = 2.0**14  # vectors are brought to about this, far from what would vanish


def in_half_precision(representation: Representation) -> tuple[Representation, float]:
    """Vectors and logits as float16, and the largest 1 - CKA of a layer with what it was."""
    largest = np.max([np.abs(m.vectors).max(axis=1) for m in representation.minibatches], axis=0)
    shift = np.zeros(len(largest), dtype=np.int64)
    alive = (largest > 0) & np.isfinite(largest)
    shift[alive] = np.floor(np.log2(_LARGEST / largest[alive])).astype(np.int64)
    scale = np.ldexp(np.float32(1.0), shift)[:, None]
    minibatches = [
        replace(m, vectors=(m.vectors * scale).astype(np.float16), diagonals=m.diagonals * scale)
        for m in representation.minibatches
    ]
    logits = None if representation.logits is None else _half_logits(representation.logits)
    stored = replace(representation, minibatches=minibatches, exponents=representation.exponents - shift, logits=logits)
    pair = Comparison([representation.renamed("exact"), stored.renamed("stored")])
    losses = 1.0 - np.diagonal(pair.matrix("exact", "stored"))
    losses = losses[alive & np.isfinite(losses)]
    return stored, max(0.0, float(losses.max())) if len(losses) else 0.0


def _half_logits(logits: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Logits as float16 with the same predictions: where rounding makes a tie, the winner is put one step above."""
    half = np.clip(logits, -60000, 60000).astype(np.float16)
    winner = logits.argmax(1)
    tied = np.flatnonzero(half.argmax(1) != winner)
    half[tied, winner[tied]] = np.nextafter(half[tied].max(1), np.float16(np.inf))
    return half
