"""What the pattern of a failed check may come from: a hint to where to look, never a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cka_plugin.regression.result import LayerCheck

GRADUAL = 0.9  # a model whose every layer stays above this has been disturbed a little everywhere, not rebuilt


def meaning_of(
    layers: Sequence[LayerCheck], missing: Sequence[str], predictions_failed: bool, preparation_changed: bool
) -> str:
    """One or two sentences on what may have happened, from which layers moved and how far.

    Args:
        layers: one row a layer, in the order in which they fire.
        missing: names of layers that the model no longer has.
        predictions_failed: accuracy, a class or churn failed.
        preparation_changed: raw examples were prepared otherwise than for the baseline.
    """
    moved = [row for row in layers if row.moved]
    failed = [row for row in layers if not row.passed]
    dead = [row for row in layers if math.isnan(row.cka) and not row.passed]
    if missing and not failed:
        return "The model has other layers than its baseline: another architecture, or blocks removed or renamed."
    if dead:
        return (
            f"Look at {dead[0].name} first: a layer without a similarity is constant (dead units, zeroed weights, a"
            " collapsed normalisation) or holds NaN or infinity (overflow, a division by zero, half precision)."
        )
    if predictions_failed and not failed:
        inner = [row for row in moved if row.kind != "head"]
        if not inner:
            return (
                "The representations are those of the baseline, the predictions are not: the classes may have another"
                " order, the labels another coding, or the head another bias."
            )
        return "The layers moved less than their thresholds, but predictions changed: a threshold may be too low."
    if not failed:
        return ""
    first = moved[0]
    if preparation_changed:
        return (
            f"Inputs are prepared otherwise than for the baseline (see the note), and {first.name} is the first layer"
            " to show it."
        )
    heads = [row for row in layers if row.kind == "head"]
    if all(row.kind == "head" for row in moved) and heads:
        return "Only the head moved; all before it is as it was: a retrained or replaced head."
    if first.name == layers[0].name:
        if all(row.cka >= GRADUAL for row in moved):
            return (
                "Every layer moved a little, from the first on: lower precision, quantisation, pruning or light"
                " fine-tuning of all layers; or a small change of the inputs (resizing, interpolation)."
            )
        return (
            f"The change begins at the very first layer, {first.name}: look at the inputs first (normalisation,"
            " colour order, resizing, tokenizer), then at its weights; retraining all layers looks like this too."
        )
    return f"All before {first.name} is as it was: the change begins there. Look at its weights and code."
