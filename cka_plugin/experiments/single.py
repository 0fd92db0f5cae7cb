"""Calls that run one model over labelled data (`probe`, `ablate`): what they are given, opened and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cka_plugin.data import ReadOptions, Source, open_data
from cka_plugin.engine import run as engine
from cka_plugin.models import given as models


def open_one(
    call: str,
    model: Any,
    data: Any,
    labels: Any,
    read: ReadOptions,
    options: engine.RunOptions,
    pretrained: bool,
    transforms: Any,
    checkpoint: str | None,
    model_kwargs: Mapping[str, Any] | None,
) -> tuple[Source, models.Subject]:
    """The data, looked at before any model is built, and the one model to run on them.

    Raises:
        ValueError: several models, or a saved representation, which keeps no activations; else as for `compare`.
    """
    chosen = models.named([model])
    if len(chosen) != 1:
        raise ValueError(f"{call} takes one model; given {len(chosen)}")
    name, given = chosen[0]
    if models.is_saved(given):
        raise ValueError(f"{call} runs the model: {name} is a saved representation, which keeps no activations")
    source = open_data(data, labels)
    source.count(read)
    engine.choose_device(options.device)
    return source, models.subject(name, given, options.granularity, pretrained, transforms, checkpoint, model_kwargs)


def needs_labels(call: str) -> ValueError:
    """The error for data without labels."""
    return ValueError(
        f"{call} needs labels: give labels=, class sub-folders, a loader of (x, label), or a file with a column of them"
    )
