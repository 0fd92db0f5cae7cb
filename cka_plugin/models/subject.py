"""A model to run: built where it was a name, unwrapped, with its adapter, its layers and its preparation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from cka_plugin import sample
from cka_plugin.adapters import Adapter, Layer, Preparation
from cka_plugin.adapters import registry as adapters
from cka_plugin.data import Takes, takes
from cka_plugin.lending.randomness import seeded
from cka_plugin.lending.running import is_offloaded
from cka_plugin.models.forward import GivenForward
from cka_plugin.models.part import part_of, runs_by_itself
from cka_plugin.models.preparation import preparation_of
from cka_plugin.models.python_function import PREFIX, made_by_function
from cka_plugin.models.selection import Selection, no_such_layers, select
from cka_plugin.models.untrained import untrained
from cka_plugin.options import Options
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
    part = None if own.part is None else part_of(root, str(own.part), name)
    if part is not None and not runs_by_itself(root):
        root, part = part, None
    inner, prefix = adapters.unwrap(root)
    here = [module for module in inner.modules() if not is_offloaded(module)]
    if any(tensor.device.type == "meta" for module in here for tensor in module.parameters(recurse=False)):
        raise ValueError(f"{name} has parameters on the meta device, without values: load its weights first")
    looked_at = inner if part is None else part
    adapter, reader = adapters.adapter_of(inner), adapters.adapter_of(looked_at)
    chosen = chosen_layers(root if part is None else part, own, name)
    found = chosen.layers
    if part is not None:
        found = [_within(f"{prefix}{own.part}", layer) for layer in found]
    preparation = preparation_of(inner, adapter, own.transforms, own.max_length) or preparation_of(
        looked_at, reader, None, own.max_length
    )
    return Subject(
        name,
        root,
        inner,
        adapter if own.forward is None else GivenForward(adapter, own.forward),
        found,
        discover=part is not None or not chosen.listed or own.granularity == "module" or reader.name == "generic",
        preparation=preparation,
        takes=takes(name, inner, preparation, own.inputs, own.forward),
        named=frozenset(
            layer.path for layer, its in zip(found, chosen.layers, strict=True) if its.path in chosen.named
        ),
        missed=tuple(chosen.missed),
        framework=reader.name,
    )


def subjects(given: Sequence[tuple[str, Any]], options: Options) -> list[Subject]:
    """All models of a call, ready to run.

    Raises:
        ValueError: as `subject`; or `layers` holds what fits nothing in any of them.
    """
    made = [subject(name, model, options) for name, model in given]
    if isinstance(options.layers, Mapping):
        unfitting = {one.name: one.missed for one in made if one.missed}
    else:
        nowhere = [entry for entry in made[0].missed if all(entry in one.missed for one in made)] if made else []
        unfitting = {made[0].name: tuple(nowhere)} if nowhere else {}
    for name, missed in unfitting.items():
        one = next(one for one in made if one.name == name)
        raise ValueError(no_such_layers(missed, listed([m.name for m in made]), adapters.layers(one.root, "block")))
    return made


def chosen_layers(model: nn.Module, options: Options, name: str) -> Selection:
    """The layers of a model to compare: those of the granularity, or of them what `layers` names."""
    if options.layers is None:
        return Selection(adapters.layers(model, options.granularity), frozenset(), [], listed=True)
    return select(model, options.granularity, options.layers, name)  # type: ignore[arg-type]


def _within(path: str, layer: Layer) -> Layer:
    """A layer of a part, as a layer of the whole."""
    return replace(layer, path=f"{path}.{layer.path}" if layer.path else path)


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
            name, pretrained=options.pretrained, checkpoint=options.checkpoint, **(options.model_kwargs or {})
        )
