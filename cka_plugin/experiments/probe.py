"""`probe`: linear-probe accuracy layer by layer. It runs the model: a representation keeps no activations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cka_plugin.adapters.base import Layer
from cka_plugin.analysis.probes import FOLDS, Probes, linear_probes, require_sklearn
from cka_plugin.data import ReadOptions, label_numbers
from cka_plugin.engine.feeding import feeding
from cka_plugin.engine.model_run import hooked
from cka_plugin.engine.progress import progress_bar
from cka_plugin.experiments.single import needs_labels, open_one
from cka_plugin.models.subject import Subject
from cka_plugin.options import Options

POOLED = {
    "auto": "activations flattened (texts and sound averaged over their mask)",
    "flatten": "activations flattened",
    "mean": "activations averaged over positions",
    "max": "activations, their maximum over positions",
    "cls": "the first position of each sequence",
    "last": "the last position of each sequence",
    "mean_after_first": "activations averaged over positions after the first",
}


def probe(
    model: Any,
    data: Any = None,
    labels: Any = None,
    *,
    granularity: str = "block",
    pooling: str = "mean",
    folds: int = FOLDS,
    regularisation: float = 1.0,
    batch_size: int | None = None,
    max_examples: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    pretrained: bool = True,
    transforms: Any = None,
    forward: Any = None,
    inputs: Any = None,
    label_key: str | int | None = None,
    on_error: str = "raise",
    workers: int | str = "auto",
    seed: int = 0,
    progress: bool = True,
    checkpoint: str | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    layers: Iterable[str] | None = None,
    part: str | None = None,
) -> Probes:
    """How well a linear classifier reads the classes off each layer of a model, cross-validated on the data given.

    Runs the model once over the data and keeps the pooled features of all layers in memory: examples x features x 4
    bytes a layer. The model's own head is not used, and its classes need not be those of the labels.

    Args:
        model: a name or an `nn.Module`, as for `compare`; a mapping of one names it. Saved representations will not do.
        data: as for `compare`; folders with a sub-folder a class, loaders of (x, label) and the like bring labels.
        labels: classes of the examples, where `data` has none.
        granularity: `stage`, `block` or `module`.
        pooling: of activations: `mean` (over the positions of maps and tokens; the default, said in the result),
            `flatten` (all of them: exact, and slow with many), `max`, `cls`, `last`, `mean_after_first` or
            `auto`.
        folds: of the cross-validation, stratified by class.
        regularisation: `C` of scikit-learn's logistic regression.
        seed: of the order of reading and of the folds.
        batch_size, max_examples, device, precision, pretrained, transforms, forward, inputs, label_key, on_error,
            workers, progress, checkpoint, model_kwargs, layers, part: as for `compare`.

    Returns:
        `Probes`: a row a layer with accuracy and standard error, and the chance line.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed: `pip install scikit-learn`.
        ValueError, TypeError, OSError, RuntimeError: as for `compare`; no labels, or too few examples for the folds.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> x = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
        >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> found = probe({"net": net}, x, (x[:, 0] > 0).long(), granularity="module", progress=False)
        >>> [row.layer for row in found.layers], found.n_examples
        (['0', '1', 'head'], 80)
    """
    options = Options.of(locals())
    require_sklearn()
    source, subject = open_one("probe", model, data, options)
    found, classes, named = _features(subject, source, options)
    probes = linear_probes(found, classes, named, folds=folds, regularisation=regularisation, seed=seed)
    return replace(probes, pooling=POOLED[pooling], model=subject.name)


def _features(subject: Subject, source: Any, options: Options) -> tuple[list[np.ndarray], np.ndarray, list[Layer]]:
    """Features of every layer, one (n, d) array each, the classes of the examples, and the layers."""
    read = ReadOptions.of(options)
    parts: list[list[np.ndarray]] = []
    classes: list[np.ndarray] = []
    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(hooked(subject, options, features=True))
        batches = stack.enter_context(feeding(source, read, [subject.takes], options))
        bar = stack.enter_context(progress_bar([subject], source, read, options.progress))
        for batch in batches:
            if batch.labels is None:
                raise needs_labels("probe")
            captured = capture.run(batch.for_model(subject.takes), batch.size, batch.index)
            assert captured.features is not None
            parts.append(captured.features)
            classes.append(batch.labels)
            bar.update(batch.size)
    try:
        whole = [np.concatenate(layer) for layer in zip(*parts, strict=True)]
    except ValueError as error:
        raise ValueError(
            f"a layer of {subject.name} gives another number of features in every minibatch (padded sequences, images "
            "of other sizes): pooling='mean' makes them equal"
        ) from error
    return whole, label_numbers(np.concatenate(classes))[0], capture.layers
