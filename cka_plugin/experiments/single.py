"""Calls that run one model over labelled data (`probe`, `ablate`): what they are given, opened and checked."""

from __future__ import annotations

from typing import Any

from cka_plugin.data import ReadOptions, Source, open_data
from cka_plugin.engine.device import choose_device
from cka_plugin.models.names import is_saved, named
from cka_plugin.models.subject import Subject, subjects
from cka_plugin.options import Options


def open_one(call: str, model: Any, data: Any, options: Options) -> tuple[Source, Subject]:
    """The data, looked at before any model is built, and the one model to run on them.

    Raises:
        ValueError: several models, or a saved representation, which keeps no activations; else as for `compare`.
    """
    chosen = named([model], options.part)
    if len(chosen) != 1:
        raise ValueError(f"{call} takes one model; given {len(chosen)}")
    name, given = chosen[0]
    if is_saved(given):
        raise ValueError(f"{call} runs the model: {name} is a saved representation, which keeps no activations")
    options.check_names([name])
    choose_device(options.device)
    source = open_data(data, options.labels)
    source.count(ReadOptions.of(options))
    return source, subjects([(name, given)], options)[0]


def needs_labels(call: str) -> ValueError:
    """The error for data without labels."""
    return ValueError(
        f"{call} needs labels: give labels=, class sub-folders, a loader of (x, label), or a file with a column of them"
    )
