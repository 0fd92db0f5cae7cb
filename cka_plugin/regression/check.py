"""`check`: does a model still compute what its baseline says?

The same examples in the same minibatches are compared, so an unchanged model has a CKA of 1 but for rounding, and what
lies below a threshold has really moved: the point estimate decides. The interval says how far the figure would carry
over to other examples; a threshold within it is marked as a close call.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from cka_plugin.data import MissingExamplesError
from cka_plugin.models import names as models
from cka_plugin.options import Options
from cka_plugin.regression.baseline import Baseline, represent_as
from cka_plugin.regression.diagnosis import UNJUDGED, Pattern, meaning_of
from cka_plugin.regression.layers import layer_rows, layer_sentence, moved_layers, rescaled_layers
from cka_plugin.regression.limits import Limits
from cka_plugin.regression.moved_examples import moved_examples
from cka_plugin.regression.notes import changed_preparation, notes_on, passed_over
from cka_plugin.regression.predictions import judge_predictions
from cka_plugin.regression.result import CheckResult, LayerCheck
from cka_plugin.regression.sample_size import too_few
from cka_plugin.regression.seen_examples import reader
from cka_plugin.regression.stored import StaleBaselineError
from cka_plugin.regression.structure import new_block_structure
from cka_plugin.regression.thresholds import check_noise, thresholds_of
from cka_plugin.representation import Representation, check_comparable
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import listed

__all__ = ["CheckResult", "LayerCheck", "check"]


def check(
    model: Any,
    baseline: Baseline | Representation | str | os.PathLike[str],
    data: Any = None,
    min_cka: float | Mapping[str, float] = Limits.min_cka,
    *,
    labels: Any = None,
    max_accuracy_drop: float | None = Limits.max_accuracy_drop,
    max_class_drop: float | None = Limits.max_class_drop,
    max_churn: float | None = Limits.max_churn,
    block_structure: bool = Limits.block_structure,
    allow_nan: bool = False,
    match: str = "content",
    level: float = 0.95,
    name: str | None = None,
    precision: str | None = None,
    pretrained: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    transforms: Any = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    device: str = "auto",
    on_error: str = "raise",
    workers: int | str = "auto",
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
        allow_nan: pass over layers, and predictions, that could not be judged in the baseline already; without, they
            leave the check `inconclusive`, which is not passed.
        match: `content`: ids and content of examples must be the baseline's; `ids`: only their ids (after a deliberate
            change of preprocessing, say).
        level: of the intervals.
        name: the model's name in messages.
        precision: of the forward pass; the baseline's by default.
        pretrained, checkpoint, model_kwargs, transforms, forward, inputs, label_key, device, on_error, workers,
            max_memory, progress: as for `represent`.

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
    Options.of({key: value for key, value in locals().items() if value is not None})  # checked before anything is read
    limits = Limits(min_cka, max_accuracy_drop, max_class_drop, max_churn, block_structure)
    source, loaded = _open(baseline)
    thresholds = thresholds_of(limits.min_cka, loaded.representation.layers)
    check_noise(thresholds, loaded.representation.layers, loaded.floor)
    run = {
        "labels": labels,
        "precision": precision,
        "pretrained": pretrained,
        "checkpoint": checkpoint,
        "model_kwargs": model_kwargs,
        "transforms": transforms,
        "forward": forward,
        "inputs": inputs,
        "label_key": label_key,
        "device": device,
        "on_error": on_error,
        "workers": workers,
        "max_memory": max_memory,
        "progress": progress,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CKAWarning)
        try:
            made = _represent(model, loaded, data, name, run)
        except MissingExamplesError as error:
            raise StaleBaselineError(
                f"the data are not those of {source}, so nothing can be judged: {error}"
            ) from error
    said = _passed_on(caught)
    _check_examples(loaded, made, match, source)

    rows, missing = layer_rows(loaded, made, thresholds, level, match)
    failures = [layer_sentence(row) for row in rows if not row.passed and not row.inconclusive]
    if missing:
        failures.append(
            f"layers of the baseline that {made.name} does not have: {listed(missing)}; it has"
            f" {listed(made.layer_names)}"
        )
    predictions = judge_predictions(loaded, made, limits)
    failures += predictions.failures
    if limits.block_structure and loaded.has_block_structure:
        failures += new_block_structure(loaded.representation, made)
    unjudged = [layer_sentence(row) for row in rows if row.inconclusive] + predictions.inconclusive
    notes = [*said, *notes_on(loaded, made, rows), *predictions.notes]
    few = list(too_few(made.n_examples, predictions, limits))
    if allow_nan:
        notes += passed_over(rows, predictions.inconclusive)
        unjudged = []
    reference = loaded.representation
    examples = moved_examples(reference, made, moved_layers(rows, reference, made)) if failures else []
    prepared = bool(changed_preparation(loaded.representation, made))
    rescaled = rescaled_layers(rows, reference, made) if failures else {}
    pattern = Pattern(rows, missing, bool(predictions.failures), prepared, rescaled)
    return CheckResult(
        raw=reader(loaded, made, data),
        model=made.name,
        baseline=source,
        failures=failures,
        layers=rows,
        errors=predictions.errors,
        churn=predictions.churn,
        meaning=meaning_of(pattern) if failures else (UNJUDGED if unjudged else ""),
        notes=notes,
        n_examples=made.n_examples,
        n_minibatches=len(made.minibatches),
        inconclusive=unjudged + few,
        level=level,
        examples=examples,
    )


def _open(baseline: Any) -> tuple[str, Baseline]:
    if isinstance(baseline, Representation):
        baseline = Baseline.of(baseline)
    elif isinstance(baseline, str | os.PathLike):
        baseline = Baseline.load(baseline)
    if isinstance(baseline, Baseline):
        if baseline.representation.projection is not None:
            raise ValueError(
                f"{baseline.name} was represented with sketch=: a check needs whole Gram matrices; make the baseline "
                "with make_baseline, or represent without sketch="
            )
        return baseline.source or f"the baseline of {baseline.name}", baseline
    raise TypeError(
        f"a baseline is a file, a Baseline or a Representation; given {type(baseline).__name__}: make one with"
        " make_baseline"
    )


def _represent(model: Any, baseline: Baseline, data: Any, name: str | None, run: dict[str, Any]) -> Representation:
    if models.is_saved(model):
        ((own, given),) = models.named([model])
        return models.saved(name or own, given)
    run["precision"] = run["precision"] or baseline.representation.options.get("precision", "float32")
    return represent_as(baseline, model, data, name=name, **run)


def _passed_on(caught: list[warnings.WarningMessage]) -> list[str]:
    """Our own warnings as notes, but for those on dead layers, which are failures; other people's go on as warnings."""
    notes = []
    for warning in caught:
        if not issubclass(warning.category, CKAWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif "CKA is NaN" not in str(warning.message):
            notes.append(str(warning.message))
    return notes


def _check_examples(baseline: Baseline, made: Representation, match: str, source: str) -> None:
    reference = baseline.representation
    a, b = reference.fingerprints, made.fingerprints
    if match == "content" and len(a) == len(b) and not np.array_equal(a, b) and np.array_equal(np.sort(a), np.sort(b)):
        raise StaleBaselineError(
            f"the data hold the examples of {source} in another order (a loader that shuffles?): give the data set"
            " itself or shuffle=False, as when the baseline was made"
        )
    try:
        check_comparable(reference.renamed("the baseline"), made.renamed("the model"), match)
    except ValueError as error:
        raise _other_data(source, error) from error


def _other_data(source: str, error: ValueError) -> StaleBaselineError:
    return StaleBaselineError(f"the data are not those of {source}, so nothing can be judged: {error}")
