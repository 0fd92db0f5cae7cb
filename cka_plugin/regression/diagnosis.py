"""What the pattern of a failed check may come from: a hint to where to look, never a verdict.

Each rule says what the numbers show, and only then what commonly looks so. The first rule that has something to say
speaks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cka_plugin.regression.result import LayerCheck

GRADUAL = 0.9  # a model whose every layer stays above this has been disturbed a little everywhere, not rebuilt
UNJUDGED = (
    "What cannot be judged has not passed: make the baseline anew of a model without such layers, or pass over what its"
    " baseline could not judge either with allow_nan=True (--allow-nan)."
)
APART = 10.0  # layers whose 1 - CKA is so many times that of all others stand apart


@dataclass(frozen=True)
class Pattern:
    """What failed.

    Attributes:
        layers: one row a layer, in the order in which they fire.
        missing: names of layers that the model no longer has.
        predictions_failed: accuracy, a class or churn failed.
        preparation_changed: raw examples were prepared otherwise than for the baseline.
        rescaled: layers that did not move and are a multiple of what they were, which CKA does not see: how much.
    """

    layers: Sequence[LayerCheck]
    missing: Sequence[str] = ()
    predictions_failed: bool = False
    preparation_changed: bool = False
    rescaled: Mapping[str, float] = field(default_factory=dict)

    @property
    def judged(self) -> list[LayerCheck]:
        """The layers with a similarity."""
        return [row for row in self.layers if math.isfinite(row.cka)]

    @property
    def moved(self) -> list[LayerCheck]:
        """Those that differ from the baseline by more than rounding."""
        return [row for row in self.judged if row.moved]

    @property
    def failed(self) -> list[LayerCheck]:
        """Those that did not pass."""
        return [row for row in self.layers if not row.passed and not row.inconclusive]


def meaning_of(pattern: Pattern) -> str:
    """One or two sentences on what may have happened, from which layers moved and how far."""
    return next((said for rule in _RULES if (said := rule(pattern))), "")


def other_layers(pattern: Pattern) -> str:
    """Layers are missing, and those that are there passed."""
    if not pattern.missing or pattern.failed:
        return ""
    return "The model has other layers than its baseline: another architecture, or blocks removed or renamed."


def dead_layer(pattern: Pattern) -> str:
    """A layer has no similarity, or had none."""
    dead = [row for row in pattern.failed if math.isnan(row.cka)]
    if not dead:
        return ""
    return (
        f"Look at {dead[0].name} first: a layer without a similarity is constant (dead units, zeroed weights, a"
        " collapsed normalisation) or holds NaN or infinity (overflow, a division by zero, half precision)."
    )


def predictions_alone(pattern: Pattern) -> str:
    """Predictions failed, and no layer."""
    if not pattern.predictions_failed or pattern.failed:
        return ""
    if not [row for row in pattern.moved if row.kind != "head"]:
        return (
            "The representations are those of the baseline, the predictions are not: the classes may have another"
            " order, the labels another coding, or the head another bias."
        )
    return "The layers moved less than their thresholds, but predictions changed: a threshold may be too low."


def other_inputs(pattern: Pattern) -> str:
    """Raw examples are prepared otherwise."""
    if not pattern.preparation_changed or not pattern.failed:
        return ""
    first = pattern.moved[0]
    return (
        f"Inputs are prepared otherwise than for the baseline (see the note), and {first.name} is the first layer to"
        " show it."
    )


def another_scale(pattern: Pattern) -> str:
    """The first layer that is not as it was differs in scale alone."""
    if not (pattern.failed or pattern.predictions_failed):
        return ""
    judged = pattern.judged
    first = next((row for row in judged if row.moved or row.name in pattern.rescaled), None)
    if first is None or first.moved:
        return ""
    where = (
        "Look at the inputs first (normalisation, a division by 255), then at its weights."
        if first is judged[0]
        else "Look at its weights and code."
    )
    return (
        f"{first.name} is {pattern.rescaled[first.name]:.3g} times what it was, which CKA does not see, and is the"
        f" first layer that is not as it was. {where}"
    )


def head_alone(pattern: Pattern) -> str:
    """Nothing before the head moved."""
    moved = pattern.moved
    if not pattern.failed or not all(row.kind == "head" for row in moved) or len(moved) == len(pattern.judged):
        return ""
    return "Only the head moved; all before it is as it was: a retrained or replaced head."


def one_stretch(pattern: Pattern) -> str:
    """Some layers moved, and those before or after them did not, or by far less."""
    if not pattern.failed:
        return ""
    judged, moved = pattern.judged, pattern.moved
    first, last = judged.index(moved[0]), judged.index(moved[-1])
    if first == 0 and last == len(judged) - 1:
        first, last = _apart(judged)
        if first == 0 and last == len(judged) - 1:
            return ""
    stretch, others = judged[first : last + 1], [*judged[:first], *judged[last + 1 :]]
    names = stretch[0].name if len(stretch) == 1 else f"{stretch[0].name} to {stretch[-1].name}"
    still = [row for row in others if row.moved]
    least = f"moved far less (CKA at least {min(row.cka for row in still):.4f})" if still else "is as it was"
    if last == len(judged) - 1:
        return f"All before {stretch[0].name} {least}: the change begins there. Look at its weights and code."
    where = "All after it" if first == 0 else "All before and after"
    how = "What follows takes no notice" if not still else "What follows hardly takes notice"
    return (
        f"{names} moved alone (CKA down to {min(row.cka for row in stretch):.4f}). {where} {least}. {how}: look at the"
        " weights and code there, or at what was measured there."
    )


def all_a_little(pattern: Pattern) -> str:
    """Every layer moved, and none far."""
    judged, moved = pattern.judged, pattern.moved
    if not pattern.failed or len(moved) < len(judged) or min(row.cka for row in moved) < GRADUAL:
        return ""
    lowest = min(moved, key=lambda row: row.cka)
    return (
        f"Every layer moved a little, from the first on, the furthest {lowest.name} (CKA {lowest.cka:.4f}): lower"
        " precision, quantisation, pruning or light fine-tuning of all layers; or a small change of the inputs"
        " (resizing, interpolation)."
    )


def from_the_first(pattern: Pattern) -> str:
    """The first layer moved, and much of what follows."""
    if not pattern.failed:
        return ""
    judged, moved = pattern.judged, pattern.moved
    held = len(judged) - len(moved)
    some = f", though {held} of {len(judged)} layers are as they were" if held else ""
    return (
        f"The change begins at the very first layer, {moved[0].name}{some}: look at the inputs first (normalisation,"
        " colour order, resizing, tokenizer), then at its weights; retraining all layers looks like this too."
    )


_RULES: list[Callable[[Pattern], str]] = [
    other_layers,
    dead_layer,
    other_inputs,
    another_scale,
    predictions_alone,
    head_alone,
    one_stretch,
    all_a_little,
    from_the_first,
]


def _apart(rows: Sequence[LayerCheck]) -> tuple[int, int]:
    """First and last of the layers that stand apart from all others in how far they moved; all, where none do.

    What grows from layer to layer began where it was small: the first stands apart from those before it by itself.
    """
    drops = [1.0 - row.cka for row in rows]
    far = [position for position, drop in enumerate(drops) if drop * APART > max(drops)]
    first, last = far[0], far[-1]
    if first and drops[first] < APART * max(drops[:first]):
        first = 0
    return first, last
