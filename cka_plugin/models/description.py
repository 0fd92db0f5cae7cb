"""What a representation remembers of its model itself, beside its layers."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedParameter

KNOWN = ("timm.models.", "torchvision.models.", "transformers.models.")


def described(model: nn.Module) -> dict[str, Any]:
    """A model's family, as its framework names it, and its number of parameters.

    Example:
        >>> described(nn.Sequential(nn.Linear(4, 2)))
        {'family': 'Sequential', 'parameters': 10}
    """
    parameters = [p for p in model.parameters() if not isinstance(p, UninitializedParameter)]
    return {"family": _family(model), "parameters": sum(p.numel() for p in parameters)}


def _family(model: nn.Module) -> str:
    """Of a timm or torchvision model the file it is defined in, of a Hugging Face one its type, else its class."""
    home = type(model).__module__
    for prefix in KNOWN:
        if home.startswith(prefix):
            return home.removeprefix(prefix).split(".")[0]
    return type(model).__name__
