"""`check`: does a model still compute what its baseline says?

The same examples in the same minibatches are compared, so an unchanged model has a CKA of 1 but for rounding, and what
lies below a threshold has really moved: the point estimate decides. The interval says how far the figure would carry
over to other examples; a threshold within it is marked as a close call.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cka_plugin.comparison import Comparison
from cka_plugin.core import MIN_MINIBATCHES
from cka_plugin.models import given as models
from cka_plugin.regression.baseline import Baseline, represent_as
from cka_plugin.regression.diagnosis import meaning_of
from cka_plugin.regression.result import CheckResult, LayerCheck
from cka_plugin.regression.thresholds import thresholds_of
from cka_plugin.representation import Representation, check_comparable
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import listed

if TYPE_CHECKING:
    from cka_plugin.analysis.errors.result import ErrorComparison

__all__ = ["CheckResult", "LayerCheck", "check"]

MIN_CLASS_LOSS = 2  # a class of few examples drops far when one of them changes sides


def check(
    model: Any,
    baseline: Baseline | Representation | str | os.PathLike[str],
    data: Any = None,
    min_cka: float | Mapping[str, float] = 0.99,
    *,
    labels: Any = None,
    max_accuracy_drop: float | None = 0.01,
    max_class_drop: float | None = 0.1,
    max_churn: float | None = 0.05,
    block_structure: bool = True,
    match: str = "content",
    level: float = 0.95,
    name: str | None = None,
    precision: str | None = None,
    pretrained: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    transforms: Any = None,
    device: str = "auto",
    on_error: str = "raise",
    max_memory: int | float | str = "auto",
    progress: bool = False,
) -> CheckResult:
    """Check a model against its baseline, on the baseline's own examples.

    Layers are matched by their common names, so that a model that was renamed, compiled, quantised or ported from timm
    to transformers still finds its baseline. Granularity, pooling, kernel and estimator are the baseline's.

    Args:
        model: a name, an `nn.Module`, a `Representation` or the path of a saved one.
        baseline: what `make_baseline` made, or a saved `Representation`, or the file of either.
        data: the data that the baseline was made of; more examples may be there, none of the baseline's may lack. Not
            needed where the baseline holds the examples themselves, or the model is a saved representation.
        min_cka: the lowest CKA a layer may show: one number, or a table by layer name, pattern, kind or depth
            (`{"stages.3.*": 0.95, "head": 0.999, "default": 0.99}`; see `thresholds.thresholds_of`).
            0.99 lets bfloat16 pass, and int8 and light pruning where they cost a network little; 0.9999 is for changes
            of code that should change nothing (`examples/regression_scenarios.py` prints both verdicts on common
            changes and bugs).
        labels: classes of the examples where `data` has none; those stored with the baseline serve as well.
        max_accuracy_drop: how much accuracy may be lost. None: not judged; so below.
        max_class_drop: how much accuracy a single class may lose, where it loses at least 2 examples.
        max_churn: which share of predictions may change.
        block_structure: fail where the model has a block structure (`strong`) and the baseline none.
        match: `content`: ids and content of examples must be the baseline's; `ids`: only their ids (after a deliberate
            change of preprocessing, say).
        level: of the intervals.
        name: the model's name in messages.
        precision: of the forward pass; the baseline's by default.
        pretrained, checkpoint, model_kwargs, transforms, device, on_error, max_memory, progress: as for `represent`.

    Returns:
        A `CheckResult`: `.passed`, `.failures`, `.layers`, `.errors`; it prints as a table, worst layers first.

    Raises:
        ValueError: other data than the baseline's, a threshold within the noise of the machine or one that fits no
            layer, a damaged baseline.
        FileNotFoundError: no such baseline.
        RuntimeError: the model failed on the data.

    Source: minibatch CKA, Nguyen, Raghu & Kornblith 2021, eq. 2 and 3.

    Example:
        >>> import torch, cka_plugin as cka
        >>> from torch import nn
        >>> net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), torch.randn(256, 8)
        >>> baseline = cka.make_baseline(net, x, granularity="module", progress=False)
        >>> check(net, baseline, x, min_cka=0.9999).passed
        True
        >>> _ = nn.init.normal_(net[2].weight)
        >>> check(net, baseline, x).failures[0].split(":")[0]
        'layer head (2)'
    """
    source, loaded = _open(baseline)
    _check_limits(max_accuracy_drop, max_class_drop, max_churn)
    thresholds = thresholds_of(min_cka, loaded.representation.layers)
    _check_noise(loaded, thresholds)
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CKAWarning)
        made = _represent(
            model,
            loaded,
            data,
            labels=labels,
            name=name,
            precision=precision,
            pretrained=pretrained,
            checkpoint=checkpoint,
            model_kwargs=model_kwargs,
            transforms=transforms,
            device=device,
            on_error=on_error,
            max_memory=max_memory,
            progress=progress,
        )
    for warning in caught:
        if not issubclass(warning.category, CKAWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif "CKA is NaN" not in str(warning.message):  # dead layers are failures below
            notes.append(str(warning.message))
    _check_examples(loaded, made, match, source)

    rows, missing = _layer_rows(loaded, made, thresholds, level, match)
    failures = [_layer_sentence(row) for row in rows if not row.passed]
    if missing:
        failures.append(
            f"layers of the baseline that {made.name} does not have: {listed(missing)}; it has"
            f" {listed(made.layer_names)}"
        )
    errors, churn, wrong = _judge_predictions(loaded, made, max_accuracy_drop, max_class_drop, max_churn)
    failures += wrong
    if block_structure and loaded.storage_loss == 0.0:
        failures += _new_block_structure(loaded.representation, made)
    prepared = _preparation_change(loaded.representation, made)
    notes += prepared + _more_notes(loaded, made, rows)
    return CheckResult(
        model=made.name,
        baseline=source,
        failures=failures,
        layers=rows,
        errors=errors,
        churn=churn,
        meaning=meaning_of(rows, missing, bool(wrong), bool(prepared)) if failures else "",
        notes=notes,
        n_examples=made.n_examples,
        n_minibatches=len(made.minibatches),
    )


def _open(baseline: Any) -> tuple[str, Baseline]:
    if isinstance(baseline, Baseline):
        return f"the baseline of {baseline.name}", baseline
    if isinstance(baseline, Representation):
        return f"the baseline of {baseline.name}", Baseline.of(baseline)
    if isinstance(baseline, str | os.PathLike):
        return Path(baseline).name, Baseline.load(baseline)
    raise TypeError(
        f"a baseline is a file, a Baseline or a Representation; given {type(baseline).__name__}: make one with"
        " make_baseline"
    )


def _check_limits(*limits: float | None) -> None:
    for name, limit in zip(("max_accuracy_drop", "max_class_drop", "max_churn"), limits, strict=True):
        if limit is not None and not 0.0 <= limit <= 1.0:
            raise ValueError(f"{name} = {limit!r}: expected a share from 0 to 1, or None not to judge it")


def _check_noise(baseline: Baseline, thresholds: list[float]) -> None:
    """A threshold that rounding alone can miss is an error: it would be a coin flip."""
    for layer, threshold in zip(baseline.representation.layers, thresholds, strict=True):
        highest = 1.0 - baseline.floor(layer.name)
        if threshold > highest:
            digits = max(2, math.ceil(-math.log10(1.0 - highest)))
            usable = math.floor(highest * 10**digits) / 10**digits
            raise ValueError(
                f"min_cka {threshold:g} for layer {layer.name} lies within the noise of the baseline: rounding on"
                f" another machine alone may give {highest:.{digits + 1}f}; give at most {usable:g}"
            )


def _represent(model: Any, baseline: Baseline, data: Any, *, name: str | None, **run: Any) -> Representation:
    if models.is_saved(model):
        ((own, given),) = models.named([model])
        return models.saved(name or own, given)
    run["precision"] = run["precision"] or baseline.representation.options.get("precision", "float32")
    return represent_as(baseline, model, data, name=name, **run)


def _check_examples(baseline: Baseline, made: Representation, match: str, source: str) -> None:
    reference = baseline.representation
    a, b = reference.fingerprints, made.fingerprints
    if match == "content" and len(a) == len(b) and not np.array_equal(a, b) and np.array_equal(np.sort(a), np.sort(b)):
        raise ValueError(
            f"the data hold the examples of {source} in another order (a loader that shuffles?): give the data set"
            " itself or shuffle=False, as when the baseline was made"
        )
    try:
        check_comparable(reference.renamed("the baseline"), made.renamed("the model"), match)
    except ValueError as error:
        raise ValueError(f"the data are not those of {source}, so nothing can be judged: {error}") from error


# Layers


def _layer_rows(
    baseline: Baseline, made: Representation, thresholds: list[float], level: float, match: str
) -> tuple[list[LayerCheck], list[str]]:
    reference = baseline.representation
    estimator = reference.options.get("estimator", "unbiased")
    comparison = Comparison([reference.renamed("a"), made.renamed("b")], estimator=estimator, match=match)
    matrix = comparison.matrix("a", "b")
    low, high = comparison.interval("a", "b", level)
    by_name = {layer.name: position for position, layer in enumerate(made.layers)}
    by_path = {layer.path: position for position, layer in reversed(list(enumerate(made.layers)))}
    rows, missing = [], []
    for i, (layer, threshold) in enumerate(zip(reference.layers, thresholds, strict=True)):
        j = by_name.get(layer.name, by_path.get(layer.path))
        if j is None:
            missing.append(layer.name)
            continue
        before, now = reference.problems.get(layer.name), made.problems.get(made.layers[j].name)
        floor = baseline.floor(layer.name)
        reason = now or (f"in the baseline {before}" if before else "")
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
                passed=bool(matrix[i, j] >= threshold - floor) or before is not None,
                reason=reason,
            )
        )
    if not rows:
        raise ValueError(
            f"{made.name} and its baseline have no layer in common: it has {listed(made.layer_names)}, the baseline "
            f"{listed(reference.layer_names)}; another model, or another granularity?"
        )
    return rows, missing


def _layer_sentence(row: LayerCheck) -> str:
    where = row.name if row.path == row.name else f"{row.name} ({row.path})"
    if math.isnan(row.cka):
        return f"layer {where}: no similarity, {row.reason or 'its CKA is undefined'}"
    interval = f" [{row.low:.4f}, {row.high:.4f}]" if math.isfinite(row.low) else ""
    close = "; a close call, more examples would tell" if row.close else ""
    return f"layer {where}: CKA {row.cka:.4f}{interval} is below {row.threshold:g}{close}"


# Predictions


def _judge_predictions(
    baseline: Baseline,
    made: Representation,
    max_accuracy_drop: float | None,
    max_class_drop: float | None,
    max_churn: float | None,
) -> tuple[ErrorComparison | None, float | None, list[str]]:
    from cka_plugin.analysis.errors.compare import compare_errors

    reference = baseline.representation
    before, now = reference.logits, made.logits
    failures: list[str] = []
    labels = reference.labels if reference.labels is not None else made.labels
    if reference.labels is not None and made.labels is not None:
        unlike = np.flatnonzero(reference.labels != made.labels)
        if len(unlike):
            first = unlike[0]
            failures.append(
                f"the labels of {len(unlike)} of {len(labels)} examples are not those of the baseline (example "  # type: ignore[arg-type]
                f"{made.example_ids[first]!r}: {made.labels[first]}, was {reference.labels[first]}): another order of"
                " classes?"
            )
    if reference.class_names and made.class_names and reference.class_names != made.class_names:
        failures.append(
            f"the head's classes are {listed(made.class_names, 6)}; in the baseline they are"
            f" {listed(reference.class_names, 6)}"
        )
    if before is None or now is None:
        return None, None, failures
    if before.shape[1] != now.shape[1]:
        return None, None, [*failures, f"the head has {now.shape[1]} classes, in the baseline {before.shape[1]}"]
    if not (np.isfinite(before).all() and np.isfinite(now).all()):
        return None, None, failures  # the head's row says so
    n = len(now)
    # Predictions that rounding alone changes are ties: never fewer than one, never fewer than were seen to flip.
    ties = max(1.0 / n, 2.0 * baseline.churn)
    churn = float((before.argmax(1) != now.argmax(1)).mean())
    errors = None
    judged = labels is not None and 0 <= int(labels.min()) <= int(labels.max()) < now.shape[1]
    if judged:
        names = made.class_names or made.label_names
        errors = compare_errors(
            before,
            now,
            labels,
            names if names and len(names) == now.shape[1] else None,
            example_ids=made.example_ids,
            names=("baseline", made.name),
        )
        if max_accuracy_drop is not None and errors.difference > max(max_accuracy_drop, ties) + 1e-12:
            failures.append(
                f"accuracy fell from {errors.accuracy_a:.1%} to {errors.accuracy_b:.1%}, by more than"
                f" {max_accuracy_drop:.1%} (exact McNemar p = {errors.mcnemar_p:.2g})"
            )
        if max_class_drop is not None:
            least = max(MIN_CLASS_LOSS, ties * n)
            fell = [
                f"{row.name} ({row.accuracy_a:.1%} to {row.accuracy_b:.1%} of {row.n})"
                for row in errors.classes
                if row.difference > max_class_drop + 1e-12 and round(row.difference * row.n) >= least
            ]
            if fell:
                failures.append(f"classes whose accuracy fell by more than {max_class_drop:.1%}: {listed(fell, 6)}")
    if max_churn is not None and churn > max(max_churn, ties) + 1e-12:
        failures.append(f"{churn:.1%} of predictions changed, more than {max_churn:.1%}")
    return errors, churn, failures


# What else may have changed


def _new_block_structure(reference: Representation, made: Representation) -> list[str]:
    from cka_plugin.analysis.blocks.detector import block_structure

    if len(made.layers) < 4:
        return []
    now = block_structure(made)
    if now.verdict != "strong" or block_structure(reference).verdict != "none":
        return []
    block = now.blocks[0]
    return [f"a block structure that the baseline does not have, {block.layers[0]} to {block.layers[-1]}: {now.reason}"]


def _preparation_change(reference: Representation, made: Representation) -> list[str]:
    before, now = reference.options.get("preparation"), made.options.get("preparation")
    return [f"Examples are prepared as {now!r}, for the baseline as {before!r}."] if before != now else []


def _more_notes(baseline: Baseline, made: Representation, rows: list[LayerCheck]) -> list[str]:
    from cka_plugin.regression.baseline import environment

    notes = []
    extra = [name for name in made.layer_names if name not in baseline.representation.layer_names]
    matched = {row.path for row in rows}
    extra = [name for name in extra if made.layers[made.position_of(name)].path not in matched]
    if extra:
        notes.append(f"Layers that the baseline does not have, not judged: {listed(extra)}.")
    dead = [row.name for row in rows if row.passed and math.isnan(row.cka)]
    if dead:
        notes.append(f"Layers without a similarity in the baseline already, not judged: {listed(dead)}.")
    if sum(number == 0 for number in made.passes) < MIN_MINIBATCHES:
        notes.append(
            f"Intervals need at least {MIN_MINIBATCHES} minibatches, such as 256 examples in minibatches of 32."
        )
    moved = [row for row in rows if row.passed and row.moved and math.isfinite(row.cka)]
    if moved and all(row.passed for row in rows):
        lowest = min(moved, key=lambda row: row.cka)
        notes.append(
            f"{len(moved)} layers moved by more than rounding, the first {moved[0].name}, the furthest {lowest.name}"
            f" (CKA {lowest.cka:.5f}); where nothing should have changed, ask for min_cka=0.9999."
        )
    now = environment()
    changed = [
        f"{key} {value}, now {now[key]}" for key, value in baseline.environment.items() if now.get(key, value) != value
    ]
    if changed:
        notes.append(f"The baseline was made with {'; '.join(changed)}.")
    return notes
