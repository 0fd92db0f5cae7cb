"""The layers of a torchvision model under their common names.

torchvision says little of its models but their classes, so each family is read by where its class keeps its blocks.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from cka_plugin.adapters.layout import Layout
from cka_plugin.adapters.modules import is_norm
from cka_plugin.adapters.torchvision.families import FAMILIES, NO_ORDER


def layout_of(model: nn.Module) -> Layout:
    """The layout of a torchvision model.

    Raises:
        ValueError: a family whose layers are in no one order (SSD, RAFT), or a model from which they were taken out.
    """
    family = family_of(model)
    if family is None or family not in FAMILIES:
        raise ValueError(_cannot(model, NO_ORDER.get(family or "", "torchvision has no such family")))
    try:
        layout = FAMILIES[family](model)
    except (AttributeError, KeyError, IndexError) as error:
        raise ValueError(_cannot(model, f"it is not built as torchvision's {family} ({error})")) from error
    stages = [(stage, blocks) for stage, blocks in layout.stages if blocks]
    modules = dict(model.named_modules())
    norm, head = modules.get(layout.norm or "-"), modules.get(layout.head or "-")
    return replace(  # a norm or head that was taken out or replaced by an identity is none
        layout,
        stages=stages,
        norm=layout.norm if norm is not None and is_norm(norm) else None,
        head=layout.head if head is not None and any(True for _ in head.parameters()) else None,
    )


def _cannot(model: nn.Module, why: str) -> str:
    return f'cannot tell the blocks of {type(model).__name__}: {why}; granularity="module" compares every leaf module'


def family_of(model: nn.Module) -> str | None:
    """The torchvision class that `model` is of, or derived from; None if it is of none, or a part of such a model."""
    for cls in type(model).__mro__:
        if cls.__module__.startswith("torchvision.models.") and (cls.__name__ in FAMILIES or cls.__name__ in NO_ORDER):
            return cls.__name__
    return None


# Reading containers ------------------------------------------------------------------------------------------------


__all__ = ["family_of", "layout_of"]
