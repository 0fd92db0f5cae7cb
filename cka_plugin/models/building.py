"""Models from their names: with weights, or the bare architecture."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cka_plugin import sample
from cka_plugin.adapters import registry as adapters
from cka_plugin.lending.randomness import seeded
from cka_plugin.models.python_function import PREFIX, made_by_function
from cka_plugin.models.untrained import untrained
from cka_plugin.options import Options


def built(name: str, options: Options) -> nn.Module:
    """The model of a name; without pretrained weights, its initialisation is drawn from `options.seed`.

    Raises:
        ValueError: the name is unknown.
        OSError: its weights cannot be reached.
    """
    if Path(name).is_file():
        raise ValueError(
            f"{name} is a file but no saved representation: for a state dict, build its model and give it with "
            "checkpoint=, or give the module"
        )
    if name.startswith(PREFIX):
        return made_by_function(name)
    if name.startswith("sample:"):
        return sample.model(name.removeprefix("sample:")) if options.pretrained else untrained(name, options.seed)
    with contextlib.nullcontext() if options.pretrained else seeded(options.seed):
        return adapters.load_model(
            name,
            pretrained=options.pretrained,
            checkpoint=options.checkpoint,  # type: ignore[arg-type]  # of one model by now
            **(options.model_kwargs or {}),
        )


def made_elsewhere(model: str | os.PathLike[str]) -> bool:
    """Whether what a name stands for is made as it is, whatever weights or settings are given."""
    return os.fspath(model).startswith((PREFIX, "sample:"))


def architecture(name: str, **load: Any) -> nn.Module:
    """The bare architecture of a name, on the meta device where the framework can build it there."""
    if name.startswith(PREFIX):
        return made_by_function(name)
    if name.startswith("sample:"):
        return sample.model(name.removeprefix("sample:"))
    adapter, bare = adapters.resolve(name)
    try:
        with torch.device("meta"):
            return adapter.load(bare, pretrained=False, **load)
    except (NotImplementedError, RuntimeError):  # an initialiser that needs values
        return adapter.load(bare, pretrained=False, **load)
