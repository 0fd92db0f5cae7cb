"""The measures by name, and how one's own joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cka_plugin.analysis.measures.bures import bures
from cka_plugin.analysis.measures.gram_matrices import GramMatrices
from cka_plugin.analysis.measures.mutual_knn import mutual_knn, too_small_for_neighbours
from cka_plugin.analysis.measures.rsa import rsa

CKA = "cka"
OwnMeasure = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Measure:
    """A measure of similarity.

    Attributes:
        between: of two `GramMatrices` of the same examples and its options, (layers_a, layers_b).
        too_small: of the number of examples in a minibatch and its options, why the measure does not exist there; empty
            where it does.
        options: names of its options; None: whatever its function takes.
        dependence: on the size of minibatches n, in words.
    """

    between: Callable[..., Tensor]
    too_small: Callable[..., str] = lambda n, **options: ""
    options: tuple[str, ...] | None = None
    dependence: str = ""


_MEASURES: dict[str, Measure] = {
    "mutual_knn": Measure(
        mutual_knn,
        too_small_for_neighbours,
        ("k", "above_chance"),
        "the 10 nearest neighbours of an example within its minibatch: depends on n, on average 10/(n - 1) by chance",
    ),
    "rsa": Measure(rsa, options=("correlation",), dependence="does not depend on n on average, 0 by chance"),
    "bures": Measure(
        bures, options=(), dependence="depends on n, and comes near 1 by chance where there are more features than n"
    ),
}
_BUILT_IN = (CKA, *_MEASURES)


def register_measure(name: str, function: OwnMeasure) -> None:
    """Make a measure of one's own known to `similarity` and `Comparison.matrix`.

    Args:
        name: what to call it; a name registered before is replaced.
        function: of two centred Gram matrices K' = HKH of the same n examples, (n, n) float64 arrays, to a number.
            Of whole data sets the values of the minibatches are averaged, with weights n(n - 3).

    Raises:
        ValueError: a name that is not an identifier, or one of the built-in measures.
        TypeError: a function that cannot be called.

    Example:
        >>> def cosine(k, l): return (k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum())
        >>> register_measure("biased_cka", cosine)
        >>> from cka_plugin.analysis.measures import similarity
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> round(similarity(x, 2 * x + 1, measure="biased_cka"), 6)
        1.0
    """
    if not isinstance(name, str) or not name.isidentifier() or name in _BUILT_IN:
        raise ValueError(f"measure {name!r}: expected an identifier other than {', '.join(_BUILT_IN)}")
    if not callable(function):
        raise TypeError(f"measure {name!r}: expected a function of two centred Gram matrices; given {function!r}")

    def between(a: GramMatrices, b: GramMatrices, **options: Any) -> Tensor:
        values = [[_number(name, function(k, l, **options)) for l in b.k.numpy()] for k in a.k.numpy()]
        return torch.tensor(values, dtype=torch.float64)

    _MEASURES[name] = Measure(between)


def _number(name: str, value: Any) -> float:
    if np.ndim(value) != 0 or isinstance(value, str | bytes):
        what = f"an array of shape {np.shape(value)}" if np.ndim(value) else repr(value)
        raise TypeError(f"measure {name!r}: expected a function that returns a number; it returned {what}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"measure {name!r}: expected a function that returns a number; it returned {value!r}"
        ) from error


def dependence_of(name: str) -> str:
    """What the value of a measure depends on besides the layers, in words."""
    return measure_of(name, {}).dependence or "a measure of your own"


def measure_of(name: str, options: Mapping[str, Any]) -> Measure:
    """A measure other than CKA by its name.

    Raises:
        ValueError: there is none, or it does not take these options.
    """
    if name == CKA:
        raise ValueError(f"measure 'cka' takes no options of minibatches; given {', '.join(sorted(options))}")
    if name not in _MEASURES:
        raise ValueError(f"measure {name!r}: expected one of {', '.join([CKA, *_MEASURES])}")
    found = _MEASURES[name]
    if found.options is not None and (unknown := set(options) - set(found.options)):
        takes = f"the options {', '.join(found.options)}" if found.options else "no options"
        raise ValueError(f"measure {name!r} takes {takes}; given {', '.join(sorted(unknown))}")
    return found
