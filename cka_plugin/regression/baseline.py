"""Making a baseline, and running a later state of the model as its baseline was made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cka_plugin.calls import represent
from cka_plugin.data import ReadOptions
from cka_plugin.models import names as models
from cka_plugin.models.building import built
from cka_plugin.models.subject import check_used
from cka_plugin.options import Options, default_of
from cka_plugin.regression.environment import environment
from cka_plugin.regression.half_precision import in_half_precision
from cka_plugin.regression.kept_examples import kept
from cka_plugin.regression.noise import measured_noise
from cka_plugin.regression.stored import Baseline
from cka_plugin.representation import Representation

__all__ = ["BATCH_SIZE", "Baseline", "make_baseline", "represent_as"]

BATCH_SIZE: int = default_of("batch_size", "make_baseline")
MAX_EXAMPLES: int = default_of("max_examples", "make_baseline")
_LIKE = (
    "granularity", "layers", "part", "pooling", "kernel", "bandwidth", "estimator", "seed", "max_examples",
    "max_length",
)  # fmt: skip


def make_baseline(
    model: Any,
    data: Any,
    labels: Any = None,
    *,
    name: str | None = None,
    batch_size: int | None = BATCH_SIZE,
    max_examples: int | None = MAX_EXAMPLES,
    float16: bool = False,
    keep_examples: bool = False,
    measure_noise: bool = True,
    allow_nan: bool = False,
    granularity: str = "block",
    pretrained: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    transforms: Any = None,
    **options: Any,
) -> Baseline:
    """Run a model over data, and keep what later states of it are checked against.

    The model runs twice, the second time with every activation moved in its last bits as another machine might: the
    difference is the noise that no threshold may ask to be below.

    Args:
        model: a name or an `nn.Module`; a `Representation` or its file, without noise measured, is taken as it is.
        data: as for `represent`.
        labels: classes of the examples where `data` has none; with them drops of accuracy are seen.
        name: the model's name.
        batch_size: examples a CKA minibatch.
        max_examples: use no more than so many examples: 256 are enough, and keep the file small; None for all.
        float16: store vectors and logits in half precision: half the size, for CKA and predictions alone (no block
            structure); what that costs is measured (`storage_loss`, some 1e-7 to 2e-5) and allowed for.
        keep_examples: store the examples themselves, so that a check needs no data.
        measure_noise: run a second time.
        allow_nan: make a baseline also of a model with dead layers, or with NaN: no check can judge these.
        granularity, pretrained, checkpoint, model_kwargs, transforms, options: as for `represent`.

    Returns:
        A `Baseline`; `.save(path)` writes it.

    Raises:
        ValueError: a model with layers or predictions that no check could judge, data that are not the same when read
            twice (random augmentation), and what `represent` raises.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> baseline = make_baseline(net, torch.randn(256, 8), name="net", granularity="module", progress=False)
        >>> baseline.representation, baseline.floor("0") < 1e-5
        (Representation('net': 3 layers, 256 examples in 8 minibatches), True)
    """
    chosen = Options.of({**locals(), **options})
    if models.is_saved(model):
        ((own, given),) = models.named([model])
        saved = models.saved(name or own, given)
        if not allow_nan:
            check_judgeable(saved)
        return Baseline.of(saved)
    ((own, given),) = models.named([model if isinstance(model, Mapping) else {name or models.own_name(model): model}])
    check_used([(own, given)], chosen)
    if isinstance(given, str | os.PathLike):
        given = built(os.fspath(given), chosen.of_model(own))
    once = iter(data) is data if hasattr(data, "__next__") else False
    if once and (measure_noise or keep_examples):
        raise ValueError(
            "data that can be read only once (a generator) cannot make a baseline: give a list, a data set or a"
            " loader, or measure_noise=False"
        )
    run = {
        "granularity": granularity,
        "transforms": transforms,
        "labels": labels,
        "max_examples": max_examples,
        **options,
    }
    first = represent({own: given}, data, batch_size=batch_size, **run)
    if not allow_nan:
        check_judgeable(first)
    noise, churn = measured_noise(first, given, data, run) if measure_noise else ({}, 0.0)
    examples = kept(first, data, labels, ReadOptions.of(chosen)) if keep_examples else None
    stored, loss = in_half_precision(first) if float16 else (first, 0.0)
    return Baseline(stored, noise, churn, loss, environment(first.options.get("device")), examples)


def represent_as(baseline: Baseline, model: Any, data: Any = None, **options: Any) -> Representation:
    """Run a model as a baseline was made: its examples, its minibatches, its granularity, pooling and kernel.

    Args:
        baseline: it.
        model: a name or an `nn.Module`.
        data: the data that it was made of; None for the examples that it keeps.
        options: as for `represent`.

    Raises:
        ValueError: no data, and none kept; and what `represent` raises.
    """
    reference = baseline.representation
    options = {**{key: reference.options[key] for key in _LIKE if key in reference.options}, **options}
    if data is not None:
        return represent(model, data, like=reference, **options)
    if baseline.examples is None:
        raise ValueError(
            f"data is missing, and the baseline of {baseline.name} holds no examples: give the data that it was made"
            " of, or make it with keep_examples=True"
        )
    numbered = replace(reference, example_ids=list(range(reference.n_examples)))
    made = represent(model, baseline.examples, like=numbered, **options)
    # They are the baseline's own examples: what was stored is what was read.
    return replace(made, example_ids=reference.example_ids, fingerprints=reference.fingerprints)


def check_judgeable(representation: Representation) -> None:
    """Raise where a check would have nothing to hold a later state against.

    Raises:
        ValueError: layers without a similarity, or scores that are not finite; the message names them.
    """
    found = [f"layer {name}: {problem}" for name, problem in representation.problems.items()]
    if representation.logits is not None and not np.isfinite(representation.logits).all():
        broken = int((~np.isfinite(representation.logits)).any(axis=1).sum())
        found.append(f"the scores of {broken} of {representation.n_examples} examples are not finite")
    if found:
        raise ValueError(
            f"{representation.name} cannot be judged by a baseline of its own: {_sentences(found)}; mend the model, or"
            " store what there is with allow_nan=True"
        )


def _sentences(found: Sequence[str], most: int = 4) -> str:
    left = len(found) - most
    return "; ".join([*found[:most], *([f"and {left} more"] if left > 0 else [])])
