"""Raw examples to the inputs of a model of one's own around a known one: as they become those of the known one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from cka_plugin.adapters.base import Adapter, Inputs, Preparation
from cka_plugin.adapters.calling import parameters_of, takes_any, takes_mapping


def preparation_inside(model: nn.Module, path: str, adapter: Adapter, processor: Any = None) -> Preparation | None:
    """The preparation of the model at `path`, in the arguments that `model` takes.

    Args:
        model: the whole model.
        path: of the known framework's model inside.
        adapter: its adapter.
        processor: a processor of the framework (a tokenizer); where none is given, one that a part of `model` keeps
            (`self.tokenizer`), before that of the model inside.

    Returns:
        The preparation; what it makes that `forward` of `model` does not take (`token_type_ids`) is left out. None
        where nothing says how examples are prepared.
    """
    inner = model.get_submodule(path)
    found = adapter.preparation_by(inner, processor) if processor is not None else _by_kept(model, inner, adapter)
    if found is None and processor is None:
        found = adapter.preparation(inner)
    return found if found is None or not found.named or takes_any(model) else _fitted(model, found)


def _fitted(model: nn.Module, found: Preparation) -> Preparation:
    names = frozenset(p.name for p in parameters_of(model))
    limited = found.limited
    return replace(
        found,
        key=f"{found.key} for {', '.join(sorted(names))}",
        collate=_fitting(model, names, found.collate),
        join=None if found.join is None else _fitting(model, names, found.join),
        limited=None if limited is None else lambda longest: _fitted(model, limited(longest)),
    )


def _by_kept(model: nn.Module, inner: nn.Module, adapter: Adapter) -> Preparation | None:
    """By the processor that a part of the model keeps, which may have a limit of its own beside it."""
    for module in model.modules():
        for value in list(vars(module).values()):
            if isinstance(value, str | int | float | bool | dict | list | tuple | set | nn.Module) or value is None:
                continue
            limit = getattr(module, "max_seq_length", None)  # of a SentenceTransformer
            if isinstance(limit, int) and hasattr(value, "model_max_length"):
                value = copy.copy(value)
                value.model_max_length = min(limit, value.model_max_length)
            found = adapter.preparation_by(inner, value)
            if found is not None:
                return found
    return None


Collate = Callable[[Sequence[Any]], Inputs]


def _fitting(model: nn.Module, names: frozenset[str], collate: Collate) -> Collate:
    """What is made, without what `forward` has no argument for; all of it where a mapping is the argument."""

    def fitted(raw: Sequence[Any]) -> Inputs:
        made = collate(raw)
        if not isinstance(made, Mapping) or takes_mapping(model, made):
            return made
        return {key: value for key, value in made.items() if key in names}

    return fitted


__all__ = ["preparation_inside"]
