"""A model to run: built where it was a name, unwrapped, with its adapter, its layers and its preparation."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cka_plugin import sample
from cka_plugin.adapters import Adapter, Layer, Preparation
from cka_plugin.adapters import registry as adapters
from cka_plugin.capture.lending import forked_rng
from cka_plugin.models.preparation import preparation_of
from cka_plugin.models.python_function import PREFIX, made_by_function
from cka_plugin.models.untrained import untrained
from cka_plugin.options import Options


@dataclass
class Subject:
    """A model to run.

    Attributes:
        name: unique in its comparison.
        root: as it was given.
        module: the same without its wrappers (`torch.compile`, `DataParallel`): this one runs.
        adapter: of its framework.
        layers: paths are those of `root`.
        discover: see `Capture`.
        preparation: how raw examples become its inputs; None where nobody says.
    """

    name: str
    root: nn.Module
    module: nn.Module
    adapter: Adapter
    layers: list[Layer]
    discover: bool
    preparation: Preparation | None


def subject(name: str, model: Any, options: Options) -> Subject:
    """Build a model where it is a name, and find its layers.

    Args:
        name: in its comparison.
        model: a name, a local folder or an `nn.Module`.
        options: of the call.

    Raises:
        ValueError: the name is unknown, or its layers cannot be told.
        OSError: its weights cannot be reached.
    """
    own = options.of_model(name)
    module = model if isinstance(model, nn.Module) else built(os.fspath(model), own)
    inner, _ = adapters.unwrap(module)
    if any(tensor.device.type == "meta" for tensor in inner.parameters()):
        raise ValueError(f"{name} has parameters on the meta device, without values: load its weights first")
    adapter = adapters.adapter_of(inner)
    found = adapters.layers(module, own.granularity)
    discover = own.granularity == "module" or adapter.name == "generic"
    return Subject(name, module, inner, adapter, found, discover, preparation_of(inner, adapter, own.transforms))


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
    with contextlib.nullcontext() if options.pretrained else forked_rng(options.seed, torch.device("cpu")):
        return adapters.load_model(
            name, pretrained=options.pretrained, checkpoint=options.checkpoint, **(options.model_kwargs or {})
        )
