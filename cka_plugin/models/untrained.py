"""`untrained`: the same architecture before any training, a level to hold a CKA against.

What two models share may be the architecture's doing: none of it was learned.
"""

from __future__ import annotations

import copy
import inspect
import os
import warnings
from typing import Any

import torch
from torch import nn

from cka_plugin.adapters import registry as adapters
from cka_plugin.lending.randomness import seeded
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import listed


def untrained(model: Any, seed: int = 0) -> nn.Module:
    """The same architecture before any training: what it makes similar was not learned.

    Compare it beside the model: `cka.compare({"net": net, "untrained": cka.untrained(net)}, data=data)`.

    A name is built without weights. A copy of a module is initialised anew: by its framework's own initialiser where
    there is one (transformers), else by each module's `reset_parameters` and the model's `init_weights`. Parameters
    that none of them sets have their entries shuffled, with a warning.

    Args:
        model: an `nn.Module`, which is left as it is, or a name as for `compare`.
        seed: of the initialisation; global random states are left as they are.

    Raises:
        ValueError: an unknown name.
        TypeError: no model.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> fresh = untrained(net)
        >>> fresh[0].weight.shape == net[0].weight.shape, bool((fresh[0].weight == net[0].weight).any())
        (True, False)
    """
    with seeded(seed):
        if isinstance(model, str | os.PathLike) and not os.fspath(model).startswith("sample:"):
            return adapters.load_model(os.fspath(model), pretrained=False)
        if isinstance(model, str):
            from cka_plugin import sample

            model = sample.model(model.removeprefix("sample:"))
        if not isinstance(model, nn.Module):
            raise TypeError(f"untrained takes an nn.Module or a name; given {type(model).__name__}")
        inner, _ = adapters.unwrap(model)
        config = getattr(inner, "config", None)
        if config is not None and type(inner).__module__.startswith("transformers."):
            return type(inner)(copy.deepcopy(config)).train(inner.training)
        fresh = copy.deepcopy(inner)
        _initialise(fresh)
        return fresh


def _initialise(model: nn.Module) -> None:
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    left = []
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.fill_(float("nan"))  # what is still NaN in the end, no initialiser has set
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        for initialise in (getattr(model, "init_weights", None), getattr(model, "_init_weights", None)):
            if callable(initialise) and _takes_nothing(initialise):
                initialise()
                break
        for name, parameter in model.named_parameters():
            if parameter.isnan().any():
                left.append(name)
                values = before[name].flatten()
                parameter.copy_(values[torch.randperm(values.numel())].view_as(parameter))
    if left:
        warnings.warn(
            f"no initialiser sets {listed(left, 4)} of {type(model).__name__}: their entries were shuffled",
            CKAWarning,
            stacklevel=4,
        )


def _takes_nothing(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
