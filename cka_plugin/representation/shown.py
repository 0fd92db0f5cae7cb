"""A representation in a notebook: what it is of, and how alike its layers are to one another."""

from __future__ import annotations

import numpy as np

from cka_plugin.core import values_kept
from cka_plugin.notebook.card import card
from cka_plugin.notebook.images import Shown, matrix_image
from cka_plugin.representation.content import Content

_MOST = 20_000_000  # numbers read for the picture: some 80 MB


def html_of(content: Content) -> str:
    """What a notebook shows of a representation."""
    accuracy = "-" if content.accuracy is None else f"{content.accuracy:.1%}"
    options = content.options
    rows: list[list[object]] = [
        ["layers", len(content.layers)],
        ["examples", content.n_examples],
        ["minibatches", len(content.minibatches)],
        ["accuracy", accuracy],
    ]
    rows += [[key, str(options[key])] for key in ("granularity", "pooling", "kernel") if options.get(key) is not None]
    problems = [f"Layer {layer} has no similarity: {reason}." for layer, reason in list(content.problems.items())[:3]]
    return card(f"Representation of {content.name}", problems, ["", ""], rows, _own_similarity(content))


def _own_similarity(content: Content) -> Shown | None:
    """CKA of the layers with one another, of no more minibatches than are quickly read."""
    used, read = 0, 0
    products = np.zeros((len(content.layers), len(content.layers)))
    for minibatch in content.minibatches:
        read += len(content.layers) * values_kept(minibatch.size, content.projection)
        if used and read > _MOST:
            break
        vectors = minibatch.vectors.astype(np.float64)
        products += vectors @ vectors.T
        used += 1
    if not used:
        return None
    own = np.sqrt(np.where(np.diagonal(products) > 0, np.diagonal(products), np.nan))
    count = len(content.minibatches)
    of = "" if used == count else f", of the first {used} of {count} minibatches"
    return matrix_image(products / np.outer(own, own), f"CKA of its layers with one another{of}")
