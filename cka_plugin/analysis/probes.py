"""Linear probes: how well the classes can be read off each layer by a linear classifier.

Inside a block structure accuracy hardly rises from layer to layer (Nguyen, Raghu & Kornblith 2021): what such layers
add can be done without. A probe says what a layer makes *linearly* available, not what the network uses.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cka_plugin import tables
from cka_plugin.analysis.correspondence import NamedLayer
from cka_plugin.analysis.errors.predictions import to_labels
from cka_plugin.analysis.statistics.paired import mcnemar

FOLDS = 5
_ITERATIONS = 2000  # of L-BFGS, on standardised features; what has not converged then is said


@dataclass(frozen=True)
class ProbedLayer:
    """The linear probe of one layer.

    Attributes:
        layer: its name.
        depth: its relative depth; NaN where not given.
        features: how many the classifier was given.
        accuracy: share of examples classified rightly by the fold that did not see them; NaN with a `reason`.
        standard_error: sqrt(accuracy (1 - accuracy) / n), of the examples; 0 where all or none are right. The folds'
            classifiers share training examples, which no standard error of cross-validation accounts for.
        gain: accuracy minus that of the layer before; NaN for the first.
        gain_p: exact McNemar test of that gain, on the same examples.
        reason: why there is no accuracy; empty where there is one.
    """

    layer: str
    depth: float
    features: int
    accuracy: float
    standard_error: float
    gain: float
    gain_p: float
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Probes(tables.Result):
    """Linear-probe accuracy layer by layer; made by `linear_probes` or `cka_plugin.probe`.

    Attributes:
        layers: one row a layer, in the order given.
        chance: accuracy of always naming the most frequent class: the line that a probe has to beat.
        n_examples: how many examples were classified, each once, by a fold that did not see it.
        n_classes: of how many classes.
        folds: of the cross-validation, stratified by class.
        pooling: what was done to activations before the probe, in words; empty where features were given.
        model: the model's name; empty where features were given.
        warnings: what a reader should know.
    """

    layers: list[ProbedLayer]
    chance: float
    n_examples: int
    n_classes: int
    folds: int
    pooling: str = ""
    model: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """(layers,) accuracy of each probe."""
        return np.array([row.accuracy for row in self.layers])

    def table_rows(self) -> tuple[Sequence[Any], type]:
        """One row a layer."""
        return self.layers, ProbedLayer

    def __repr__(self) -> str:
        header = ["layer", "depth", "features", "accuracy", "s.e.", "gain", "p of gain", ""]
        rows = [
            (row.layer, row.depth, row.features, row.accuracy, row.standard_error, row.gain, row.gain_p, row.reason)
            for row in self.layers
        ]
        of = f" of {self.model}" if self.model else ""
        lines = [
            (
                f"Linear probes{of}: {self.n_examples} examples of {self.n_classes} classes, {self.folds} stratified "
                f"folds; the most frequent class alone gives {self.chance:.3f}"
            ),
            tables.text_table(rows, header),
        ]
        if self.pooling:
            lines.append(
                f"Features: {self.pooling}, standardised. p of gain: exact McNemar, not corrected over layers."
            )
        return "\n".join([*lines, *(f"Note: {warning}" for warning in self.warnings)])


def linear_probes(
    features: Sequence[ArrayLike],
    labels: ArrayLike,
    layers: Sequence[str | NamedLayer] | None = None,
    *,
    folds: int = FOLDS,
    regularisation: float = 1.0,
    seed: int = 0,
) -> Probes:
    """Cross-validated accuracy of a linear classifier on each layer's features.

    scikit-learn's multinomial logistic regression with an L2 penalty, on features standardised within each training
    fold. Every layer has the same folds, so that gains are paired.

    Args:
        features: one (n, ...) array a layer, further axes flattened.
        labels: (n,) integer classes.
        layers: names, or layers with `name` and `depth`. Default: their positions.
        folds: of the cross-validation, at least 2; the largest class must have as many examples.
        regularisation: scikit-learn's `C`, the inverse of the penalty.
        seed: of the folds.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
        TypeError, ValueError: labels that are not one integer an example, fewer than two classes, lengths that differ,
            or too few examples for the folds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> classes = np.arange(60) % 2
        >>> told = np.c_[classes + 0.1 * rng.normal(size=60), rng.normal(size=60)]
        >>> found = linear_probes([rng.normal(size=(60, 2)), told], classes, ["early", "late"])
        >>> found.chance, found.layers[1].accuracy, bool(found.layers[0].accuracy < 0.75)
        (0.5, 1.0, True)
    """
    require_sklearn()
    truth = to_labels(labels)
    _, counts = np.unique(truth, return_counts=True)
    if len(counts) < 2:
        raise ValueError("labels of one class: a probe needs at least two")
    if not 2 <= folds <= counts.max():
        raise ValueError(
            f"folds {folds}: expected 2 to {counts.max()}, the number of examples of the largest class: give more "
            "examples or fewer folds"
        )
    given = [np.asarray(layer) for layer in features]
    arrays = [layer.reshape(len(layer), -1) for layer in given]
    named = [str(position) for position in range(len(arrays))] if layers is None else list(layers)
    if len(arrays) != len(named) or not arrays:
        raise ValueError(f"{len(arrays)} layers, {len(named)} names: expected as many of each")
    names = [layer if isinstance(layer, str) else layer.name for layer in named]
    places = [math.nan if isinstance(layer, str) else float(layer.depth) for layer in named]
    for name, array in zip(names, arrays, strict=True):
        if len(array) != len(truth):
            raise ValueError(f"layer {name!r} has {len(array)} examples, labels are of {len(truth)}")
    notes = []
    if counts.min() < folds:
        few = int((counts < folds).sum())
        notes.append(
            f"{few} of {len(counts)} classes have fewer than {folds} examples: some folds hold none of them to test on"
        )
    rows: list[ProbedLayer] = []
    unfinished: list[str] = []
    before: NDArray[np.bool_] | None = None
    for name, depth, array in zip(names, places, arrays, strict=True):
        if not np.isfinite(array).all():
            reason = "not finite (it holds NaN or infinity)"
            nan = math.nan
            rows.append(ProbedLayer(name, depth, array.shape[1], nan, nan, nan, nan, reason))
            before = None
            continue
        right, converged = _classified(array.astype(np.float64), truth, folds, regularisation, seed)
        if not converged:
            unfinished.append(name)
        accuracy = float(right.mean())
        gain, p = math.nan, math.nan
        if before is not None:
            up, down = int((right & ~before).sum()), int((before & ~right).sum())
            gain, p = (up - down) / len(truth), mcnemar(up, down)
        error = math.sqrt(accuracy * (1 - accuracy) / len(truth))
        rows.append(ProbedLayer(name, depth, array.shape[1], accuracy, error, gain, p))
        before = right
    if unfinished:
        notes.append(f"logistic regression did not converge in {_ITERATIONS} iterations: {', '.join(unfinished)}")
    return Probes(
        rows,
        float(counts.max() / len(truth)),
        len(truth),
        len(counts),
        folds,
        warnings=notes,
    )


def require_sklearn() -> None:
    """Raise, before any work is done, where scikit-learn is not installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise ModuleNotFoundError(
            "linear probes need scikit-learn, which is not installed: pip install scikit-learn", name="sklearn"
        )


def _classified(
    x: NDArray[np.float64], labels: NDArray[np.int64], folds: int, regularisation: float, seed: int
) -> tuple[NDArray[np.bool_], bool]:
    """Which examples the folds that did not see them get right, and whether all fits converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = np.zeros(len(labels), dtype=bool)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for train, test in splitter.split(x, labels):
            if len(np.unique(labels[train])) == 1:  # the one example of the other class is tested on
                right[test] = labels[test] == labels[train][0]
                continue
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=regularisation, max_iter=_ITERATIONS, random_state=seed)
            )
            classifier.fit(x[train], labels[train])
            right[test] = classifier.predict(x[test]) == labels[test]
    return right, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
