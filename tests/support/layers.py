"""Whether the layers of a representation are what they should be, against activations computed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from tests.support import reference


def assert_layers(representation: Any, right: Mapping[str, Tensor], tolerance: float = 1e-5) -> None:
    """The layers at these paths have the CKA, each with each, of activations (N, ...) whose row i is example i's."""
    from cka_plugin import Comparison

    paths = [layer.path for layer in representation.layers]
    missing = [path for path in right if path not in paths]
    assert not missing, f"{missing} are not among {paths}"
    ids = [int(i) for i in representation.example_ids]
    ends = np.cumsum(representation.batch_sizes)
    minibatches = [ids[end - n : end] for n, end in zip(representation.batch_sizes, ends, strict=True)]
    xs = [[x.detach().double().numpy()[rows] for rows in minibatches] for x in right.values()]
    expected = np.array([[reference.minibatch_cka(a, b) for b in xs] for a in xs])
    places = [paths.index(path) for path in right]
    found = Comparison([representation]).matrix(representation.name)[np.ix_(places, places)]
    assert np.allclose(found, expected, atol=tolerance), f"{list(right)}:\n{found}\nright is\n{expected}"
