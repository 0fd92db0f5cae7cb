"""Weights that are computed from others at every call: by `parametrize`, and by the hooks of pruning and old norms.

An initialiser (`reset_parameters`) sets the weight that a layer works with. Of a computed one it would set a passing
value; so it runs here on a layer of the same kind with a plain weight, and what it gave is handed to what the weight is
computed from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

Take = Callable[[Tensor], None]


def computed_weights(module: nn.Module) -> dict[str, Take]:
    """Names of the module's own weights that are computed -> what makes them compute to a given value.

    Pruned entries stay pruned.

    Example:
        >>> layer = prune.l1_unstructured(nn.Linear(2, 2), "weight", 0.5)
        >>> list(computed_weights(layer))
        ['weight']
    """
    found: dict[str, Take] = {}
    if parametrize.is_parametrized(module):
        for name in module.parametrizations:  # type: ignore[union-attr]
            found[name] = _by_parametrization(module, name)
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            found[hook.name] = _by_weight_norm(module, hook)
        elif isinstance(hook, SpectralNorm):
            found[hook.name] = _by_spectral_norm(module, hook)
        elif isinstance(hook, prune.BasePruningMethod):
            found[hook._tensor_name] = _by_pruning(module, hook)
    return found


def with_plain_weights(module: nn.Module, computed: dict[str, Take]) -> nn.Module:
    """A layer that shares all with `module`, but for the weights that are computed there: those are parameters."""
    kind = type(module)
    plain: nn.Module = nn.Module.__new__(kind.__mro__[1] if parametrize.is_parametrized(module) else kind)
    held = {name: value for name, value in vars(module).items() if name not in computed}
    vars(plain).update(held)
    values = {name: nn.Parameter(torch.empty_like(getattr(module, name))) for name in computed}
    vars(plain)["_parameters"] = {**module._parameters, **values}
    return plain


def _by_parametrization(module: Any, name: str) -> Take:
    def take(value: Tensor) -> None:
        held = module.parametrizations[name]
        if all(hasattr(one, "right_inverse") for one in held):
            setattr(module, name, value)
        elif hasattr(held, "original"):  # where nothing turns it around, what was there is the original
            held.original.copy_(value)
        for one in held:
            if isinstance(one, _SpectralNorm) and value.ndim > 1:  # as its constructor does
                for vector in (one._u, one._v):
                    vector.copy_(nn.functional.normalize(torch.randn_like(vector), dim=0, eps=one.eps))
                one._power_method(one._reshape_weight_to_matrix(value), 15)

    return take


def _by_weight_norm(module: Any, hook: WeightNorm) -> Take:
    def take(value: Tensor) -> None:
        getattr(module, f"{hook.name}_g").copy_(torch.norm_except_dim(value, 2, hook.dim))
        getattr(module, f"{hook.name}_v").copy_(value)
        setattr(module, hook.name, hook.compute_weight(module))

    return take


def _by_spectral_norm(module: Any, hook: SpectralNorm) -> Take:
    def take(value: Tensor) -> None:
        getattr(module, f"{hook.name}_orig").copy_(value)
        for name, size in zip("uv", hook.reshape_weight_to_matrix(value).shape, strict=True):
            start = value.new_empty(size).normal_()
            getattr(module, f"{hook.name}_{name}").copy_(nn.functional.normalize(start, dim=0, eps=hook.eps))
        setattr(module, hook.name, value.clone())

    return take


def _by_pruning(module: Any, hook: prune.BasePruningMethod) -> Take:
    def take(value: Tensor) -> None:
        getattr(module, f"{hook._tensor_name}_orig").copy_(value)
        setattr(module, hook._tensor_name, hook.apply_mask(module))

    return take
