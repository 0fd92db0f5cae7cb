"""How differently two models place each example, from their representations alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cka_plugin.analysis.components.dominance import dominance, dominant_set
from cka_plugin.analysis.components.principal import components
from cka_plugin.analysis.examples.classes import placed_classes
from cka_plugin.analysis.examples.pointwise import chance_alignment, mean_over_layers, pointwise_alignment
from cka_plugin.analysis.examples.result import ExampleComparison, PlacedClass, PlacedExample
from cka_plugin.analysis.statistics.auc import auc
from cka_plugin.analysis.statistics.corrections import Decisions
from cka_plugin.core import Floats
from cka_plugin.representation import Representation

MIN_SHARE = 0.2  # of the variance, for a first component to be made by "dominant" examples


def compare_examples(
    a: Representation, b: Representation, *, draws: int = 20, seed: int = 0, rules: Decisions | None = None
) -> ExampleComparison:
    """For each example, how alike two models place it among the others of its minibatch.

    Each layer of `a` is taken with the layer of `b` whose relative depth is nearest.

    Args:
        a: one model.
        b: another, on the same minibatches.
        draws: permutations that give the level of chance.
        seed: of the draws.
        rules: correction over classes, level of intervals and alpha.

    Raises:
        ValueError: unlike minibatches, or models without a layer that is alive.
    """
    rules = Decisions() if rules is None else rules
    pairs = _at_equal_depth(a, b)
    alignment = pointwise_alignment(a, b, pairs)
    mean = mean_over_layers(alignment)
    if not np.isfinite(mean).any():
        raise ValueError(f"{a.name} and {b.name} have no pair of layers at equal depth that are alive")
    null = chance_alignment(a, b, pairs, draws, seed)
    layers = [(a.layers[i].name, b.layers[j].name) for i, j in pairs]
    predicted = [_predictions(model) for model in (a, b)]
    disagreement = None
    notes = [] if np.isfinite(mean).all() else ["some examples have no similarity to others: they have no alignment"]
    if predicted[0] is not None and predicted[1] is not None and not _same_head(a, b):
        notes.append("the heads have other classes: whether the models predict the same is not judged")
    elif predicted[0] is not None and predicted[1] is not None:
        known = np.isfinite(mean)
        apart = np.array([x != y for x, y in zip(predicted[0], predicted[1], strict=True)])
        disagreement = auc(-mean[known], apart[known], rules.level)
    return ExampleComparison(
        names=(a.name, b.name),
        examples=_rows((a, b), alignment, mean, layers, predicted),
        classes=_classes(a, b, mean, rules),
        layers=layers,
        alignment=alignment,
        chance=float(np.quantile(null, rules.level)) if null.size else math.nan,
        chance_spread=float(null.std()) if null.size else math.nan,
        disagreement=disagreement,
        batch_size=int(np.median(a.batch_sizes)),
        notes=notes,
    )


def _at_equal_depth(a: Representation, b: Representation) -> list[tuple[int, int]]:
    depths = np.array([layer.depth for layer in b.layers])
    return [(i, int(np.abs(depths - layer.depth).argmin())) for i, layer in enumerate(a.layers)]


def _rows(
    models: tuple[Representation, Representation],
    alignment: Floats,
    mean: Floats,
    layers: Sequence[tuple[str, str]],
    predicted: Sequence[list[str] | None],
) -> list[PlacedExample]:
    labels = _label_names(models[0])
    right_a, right_b = (_correct(model) for model in models)
    predicted_a, predicted_b = predicted
    dominant = _dominant(models[0]) | _dominant(models[1])
    filled = np.where(np.isfinite(alignment), alignment, np.inf)
    rows = []
    for place in np.argsort(np.where(np.isfinite(mean), mean, np.inf), kind="stable").tolist():
        worst = int(filled[place].argmin())
        rows.append(
            PlacedExample(
                models[0].example_ids[place],
                float(mean[place]),
                float(alignment[place, worst]),
                layers[worst][0],
                None if labels is None else labels[place],
                None if predicted_a is None else predicted_a[place],
                None if predicted_b is None else predicted_b[place],
                None if right_a is None else bool(right_a[place]),
                None if right_b is None else bool(right_b[place]),
                place in dominant,
            )
        )
    return rows


def _classes(a: Representation, b: Representation, mean: Floats, rules: Decisions) -> list[PlacedClass]:
    labels = _label_names(a)
    if labels is None:
        return []
    right_a, right_b = _correct(a), _correct(b)
    right = None if right_a is None or right_b is None else (right_a, right_b)
    return placed_classes(labels, mean, right, rules)


def _dominant(model: Representation) -> set[int]:
    """Positions of the examples that make the first components of the layers that one dominates."""
    found = components(model)
    dominated = np.nan_to_num(found.share) >= MIN_SHARE
    if not dominated.any():
        return set()
    return set(dominant_set(dominance(found, model.positions, model.n_examples)[dominated]).tolist())


def _same_head(a: Representation, b: Representation) -> bool:
    assert a.logits is not None
    assert b.logits is not None
    known = a.class_names is not None and b.class_names is not None
    return a.logits.shape[1] == b.logits.shape[1] and (not known or a.class_names == b.class_names)


def _correct(model: Representation) -> npt.NDArray[np.bool_] | None:
    """(n_examples,) whether each is predicted as labelled; None where labels are not the classes of the head."""
    meant = model.head_labels
    return None if meant is None else np.asarray(model.predictions == meant)


def _label_names(model: Representation) -> list[str] | None:
    if model.labels is None:
        return None
    return _named(model.labels, model.label_names)


def _predictions(model: Representation) -> list[str] | None:
    """Predicted classes by name: those of the labels where head and labels have the same classes without names."""
    if model.predictions is None:
        return None
    return _named(model.predictions, model.class_names if model.class_names is not None else model.label_names)


def _named(numbers: npt.NDArray[np.int64], names: Sequence[str] | None) -> list[str]:
    return [names[k] if names is not None and 0 <= k < len(names) else str(k) for k in numbers.tolist()]
