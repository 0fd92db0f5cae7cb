"""A part of a model: the whole runs, and the layers of the part are compared."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from cka_plugin.adapters import registry as adapters


def part_of(model: Any, path: str, name: str) -> nn.Module:
    """The module at a dotted path of a model, which may be any object that holds modules (a pipeline).

    Raises:
        ValueError: there is nothing at the path; the message lists what the model holds.
        TypeError: what is there is no module.

    Example:
        >>> part_of(nn.Sequential(nn.Linear(2, 3)), "0", "net")
        Linear(in_features=2, out_features=3, bias=True)
    """
    found = adapters.unwrap(model)[0] if isinstance(model, nn.Module) else model
    for step in path.split("."):
        inside = found
        found = getattr(found, step, None)
        if found is None:
            held = [key for key, value in _held(inside) if isinstance(value, nn.Module)]
            raise ValueError(f"part {path!r}: {name} has no {step!r} there; it holds {', '.join(held) or 'no modules'}")
    if not isinstance(found, nn.Module):
        raise TypeError(f"part {path!r} of {name}: expected an nn.Module; it is a {type(found).__name__}")
    return found


def runs_by_itself(model: Any) -> bool:
    """Whether a model has a forward pass of its own; what only holds parts (a pipeline, a LightningModule) may lack it.

    Example:
        >>> runs_by_itself(nn.Linear(2, 3)), runs_by_itself(nn.Module())
        (True, False)
    """
    if not isinstance(model, nn.Module):
        return False
    own = inspect.getattr_static(type(model), "forward")
    # Lightning's base class defines one that calls that of nn.Module, which only raises.
    lacking = own is nn.Module.forward or getattr(own, "__qualname__", "") == "LightningModule.forward"
    return "forward" in vars(model) or not lacking


def no_forward(model: nn.Module, name: str) -> str:
    """What to say of a model that cannot run by itself, and was not given with a part that can."""
    held = [key for key, child in model.named_children() if any(True for _ in child.parameters())]
    example = f": part={held[0]!r}" if held else ""
    return (
        f"{name} ({type(model).__name__}) has no forward pass of its own; it holds {', '.join(held) or 'no modules'}. "
        f"Say which part runs{example}, or how the whole does: forward=function of model and minibatch"
    )


def _held(model: Any) -> list[tuple[str, Any]]:
    if isinstance(model, nn.Module):
        return list(model.named_children())
    return list(vars(model).items()) if hasattr(model, "__dict__") else []
