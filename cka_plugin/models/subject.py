"""A model to run: built where it was a name, unwrapped, with its adapter, its layers and its preparation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from cka_plugin.adapters import Adapter, Layer, Preparation
from cka_plugin.adapters import registry as adapters
from cka_plugin.data import Takes, takes
from cka_plugin.lending.running import is_offloaded
from cka_plugin.models.building import built, made_elsewhere
from cka_plugin.models.chosen import choose
from cka_plugin.models.forward import GivenForward
from cka_plugin.models.part import no_forward, runs_by_itself
from cka_plugin.models.preparation import preparation_of
from cka_plugin.models.selection import no_such_layers
from cka_plugin.options import Options
from cka_plugin.warnings import warn
from cka_plugin.wording import listed


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
        takes: which members of the examples are its inputs.
        named: paths of layers that were asked for by name or path, which must run.
        missed: names and patterns of layers asked for that fitted none of its layers.
        framework: whose adapter names its layers.
        copy_of: the name of the model that it is an untrained copy of; None for those that are compared.
    """

    name: str
    root: nn.Module
    module: nn.Module
    adapter: Adapter
    layers: list[Layer]
    discover: bool
    preparation: Preparation | None
    takes: Takes
    named: frozenset[str] = frozenset()
    missed: tuple[str, ...] = ()
    framework: str = ""
    copy_of: str | None = None

    @property
    def prepared(self) -> str | None:
        """How raw examples become its inputs, in words."""
        return None if self.preparation is None else self.preparation.description


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
    root = built(os.fspath(model), own) if isinstance(model, str | os.PathLike) else model
    chosen = choose(root, own, name)
    inner, _ = adapters.unwrap(chosen.root)
    adapter, reader = adapters.adapter_of(inner), adapters.adapter_of(chosen.looked_at)
    calls_it = adapter.name == "generic" or type(adapter).forward is Adapter.forward
    if own.forward is None and calls_it and not runs_by_itself(inner):
        raise ValueError(no_forward(inner, name))
    here = [module for module in inner.modules() if not is_offloaded(module)]
    if any(tensor.device.type == "meta" for module in here for tensor in module.parameters(recurse=False)):
        raise ValueError(f"{name} has parameters on the meta device, without values: load its weights first")
    preparation = preparation_of(inner, adapter, own.transforms, own.max_length) or preparation_of(
        chosen.looked_at, reader, None, own.max_length
    )
    return Subject(
        name,
        chosen.root,
        inner,
        adapter if own.forward is None else GivenForward(adapter, own.forward),
        chosen.layers,
        discover=not chosen.in_order or own.granularity == "module" or reader.name == "generic",
        preparation=preparation,
        takes=takes(name, inner, preparation, own.inputs, own.forward),
        named=chosen.named,
        missed=chosen.missed,
        framework=reader.name,
    )


def subjects(given: Sequence[tuple[str, Any]], options: Options) -> list[Subject]:
    """All models of a call, ready to run.

    Raises:
        ValueError: as `subject`; or `layers` holds what fits nothing in any of them.
    """
    check_used(given, options)
    made = [subject(name, model, options) for name, model in given]
    if isinstance(options.layers, Mapping):
        missed = next((one.missed for one in made if one.missed), ())
    else:
        missed = tuple(entry for entry in made[0].missed if all(entry in one.missed for one in made))
    if missed:
        names = listed([one.name for one in made])
        raise ValueError(no_such_layers(missed, names, adapters.layers(made[0].root, options.granularity)))
    return made


def check_used(given: Sequence[tuple[str, Any]], options: Options) -> None:
    """Say what was given in vain: weights and settings are for models that are built here, from their names."""
    built_here = [name for name, model in given if isinstance(model, str | os.PathLike) and not made_elsewhere(model)]
    names = listed([name for name, _ in given])
    for key in ("checkpoint", "model_kwargs"):
        if all(getattr(options.of_model(name), key) is None for name in built_here) and getattr(options, key):
            raise ValueError(f"{key} is for models given by their names in a framework; {names} is made elsewhere")
    samples = any(str(model).startswith("sample:") for _, model in given)
    if not (options.pretrained or built_here or samples):
        warn(f"pretrained=False changes nothing: no model was given by its name, but {names}; see cka_plugin.untrained")
