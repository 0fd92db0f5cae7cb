"""The layers of a model against those of its baseline: a row each, and a sentence for each that failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cka_plugin.comparison import Comparison
from cka_plugin.regression.result import LayerCheck
from cka_plugin.regression.stored import Baseline, StaleBaselineError
from cka_plugin.representation import Representation
from cka_plugin.wording import listed

_RESCALED = 0.01  # rounding, half precision of what is stored included, changes scales by far less


def layer_rows(
    baseline: Baseline, made: Representation, thresholds: list[float], level: float, match: str
) -> tuple[list[LayerCheck], list[str]]:
    """A row for each layer of the baseline, matched by name, else by path; and the names of those that are missing.

    Raises:
        ValueError: no layer in common.
    """
    reference = baseline.representation
    estimator = reference.options.get("estimator", "unbiased")
    comparison = Comparison([reference.renamed("a"), made.renamed("b")], estimator=estimator, match=match)
    matrix = comparison.matrix("a", "b")
    low, high = comparison.interval("a", "b", level)
    same = _same_layers(reference, made)
    rows, missing = [], []
    for i, (layer, threshold) in enumerate(zip(reference.layers, thresholds, strict=True)):
        j = same[i]
        if j is None:
            missing.append(layer.name)
            continue
        before, now = reference.problems.get(layer.name), made.problems.get(made.layers[j].name)
        floor = baseline.floor(layer.name)
        rows.append(
            LayerCheck(
                name=layer.name,
                path=made.layers[j].path,
                kind=layer.kind,
                depth=layer.depth,
                cka=float(matrix[i, j]),
                low=float(low[i, j]),
                high=float(high[i, j]),
                threshold=threshold,
                floor=floor,
                passed=bool(matrix[i, j] >= threshold - floor),
                inconclusive=before is not None and now is not None and _kind(before) == _kind(now),
                reason=_reason(before, now),
            )
        )
    if not rows:
        raise StaleBaselineError(
            f"{made.name} and its baseline have no layer in common: it has {listed(made.layer_names)}, the baseline"
            f" {listed(reference.layer_names)}; another model, or another granularity?"
        )
    return rows, missing


def moved_layers(rows: Sequence[LayerCheck], reference: Representation, made: Representation) -> list[tuple[int, int]]:
    """Positions, in the baseline and in the model, of the layers that failed; where none did, of those that moved."""
    moved = [row for row in rows if row.moved and math.isfinite(row.cka)]
    same, names = _same_layers(reference, made), reference.layer_names
    found = [(names.index(row.name), row.passed) for row in moved]
    failed = [i for i, passed in found if not passed] or [i for i, _ in found]
    return [(i, j) for i in failed if (j := same[i]) is not None]


def rescaled_layers(rows: Sequence[LayerCheck], reference: Representation, made: Representation) -> dict[str, float]:
    """Layers that did not move, of activations a multiple of what they were, which CKA does not see: how much.

    Inputs divided by 127.5 and no longer by 255 leave every layer before the first non-linearity at a CKA of 1.
    """
    same, names = _same_layers(reference, made), reference.layer_names
    found = {}
    for row in rows:
        i = names.index(row.name)
        j = same[i]
        if j is None or row.moved:
            continue
        before, now = _norm(reference, i), _norm(made, j)
        times = math.sqrt(now / before) if before > 0 else math.nan  # a Gram matrix grows with the square
        if math.isfinite(times) and times > 0 and abs(times - 1) > _RESCALED:
            found[row.name] = times
    return found


def _norm(representation: Representation, layer: int) -> float:
    """The Frobenius norm of a layer's Gram matrices, over all minibatches."""
    vectors = (minibatch.vectors[layer].astype(np.float64) for minibatch in representation.minibatches)
    stored = math.sqrt(sum(float(vector @ vector) for vector in vectors))
    return math.ldexp(stored, int(representation.exponents[layer]))


def _same_layers(reference: Representation, made: Representation) -> list[int | None]:
    """For each layer of the baseline, the position of the model's layer of that name, else of that path."""
    by_name = {layer.name: position for position, layer in enumerate(made.layers)}
    by_path = {layer.path: position for position, layer in reversed(list(enumerate(made.layers)))}
    return [by_name.get(layer.name, by_path.get(layer.path)) for layer in reference.layers]


def _kind(problem: str) -> str:
    """What is wrong with a layer, without where: `it is constant`, `its activations are not finite (...)`."""
    return problem.split(":")[0].split(",")[0]


def _reason(before: str | None, now: str | None) -> str:
    """Why there is no similarity; empty where there is one."""
    if before is None or now is None:
        return now or (f"it has one now, in the baseline it had none: {before}" if before else "")
    return f"{now}, as in the baseline" if _kind(before) == _kind(now) else f"{now}; in the baseline: {before}"


def layer_sentence(row: LayerCheck) -> str:
    """What is wrong with a layer that failed, or why it cannot be judged."""
    where = row.name if row.path == row.name else f"{row.name} ({row.path})"
    if row.inconclusive:
        return f"layer {where} cannot be judged: {row.reason}"
    if math.isnan(row.cka):
        return f"layer {where}: no similarity, {row.reason or 'its CKA is undefined'}"
    interval = f" [{row.low:.4f}, {row.high:.4f}]" if math.isfinite(row.low) else ""
    close = "; a close call, more examples would tell" if row.close else ""
    return f"layer {where}: CKA {row.cka:.4f}{interval} is below {row.threshold:g}{close}"
