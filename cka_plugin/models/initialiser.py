"""The weights of a module set anew by what its own code has for that, from the parts to the whole."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.models.computed import computed_weights, with_plain_weights

RESETS = ("reset_parameters", "_reset_parameters")  # of layers; those of attentions and transformers are private
INITIALISERS = ("init_weights", "_init_weights", "initialize_weights", "_initialize_weights")  # of whole models

COPYING = (nn.TransformerEncoder, nn.TransformerDecoder)  # their layers are copies of the one that they are given


def initialise(model: nn.Module, given: Mapping[str, Tensor]) -> list[str]:
    """Set all parameters anew; returns the names of those that no initialiser sets, whose entries are shuffled.

    Args:
        model: it is changed.
        given: weights and buffers of the framework's own making, which have the last word.
    """
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad(), _evaluating(model):  # spectral norms count what they compute in training
        for parameter in model.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.fill_(float("nan"))  # what is still NaN in the end, no initialiser has set
        for module in _from_the_parts(model):
            _initialise_one(module)
        held = model.state_dict(keep_vars=True)
        for name, value in given.items():
            held[name].copy_(value)
        left = []
        for name, parameter in model.named_parameters():
            if parameter.isnan().any():
                left.append(name)
                values = before[name].flatten()
                parameter.copy_(values[torch.randperm(values.numel())].view_as(parameter))
        for module in model.modules():  # what was computed from them
            for name, take in computed_weights(module).items():
                if bool(torch.isnan(getattr(module, name)).any()) and hasattr(module, f"{name}_orig"):
                    take(getattr(module, f"{name}_orig").detach().clone())
    return left


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    for module, _ in flags:
        module.training = False
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _from_the_parts(model: nn.Module) -> list[nn.Module]:
    """Every module after all that it holds, as constructors run."""
    found: dict[int, nn.Module] = {}
    copies: set[int] = set()

    def visit(module: nn.Module) -> None:
        if type(module) in COPYING:
            copies.update(id(layer) for layer in list(module.layers)[1:])  # type: ignore[arg-type]
        for child in module.children():
            if id(child) not in found and id(child) not in copies:
                visit(child)
        found[id(module)] = module

    visit(model)
    return list(found.values())


def _initialise_one(module: nn.Module) -> None:
    computed = computed_weights(module)
    target = with_plain_weights(module, computed) if computed else module
    for name in RESETS:
        if callable(reset := getattr(target, name, None)) and _needs(reset) == 0:
            reset()
            break
    own = [(_needs(one), one) for name in INITIALISERS if callable(one := getattr(target, name, None))]
    for one in [one for needs, one in own if needs == 0][:1]:
        one()
    if not any(needs == 0 for needs, _ in own):
        for one in [one for needs, one in own if needs == 1][:1]:
            module.apply(one)  # as `self.apply(self._init_weights)` in a constructor
    if callable(adapters := getattr(module, "reset_lora_parameters", None)):  # of PEFT
        for name in module.lora_A:  # type: ignore[union-attr]
            adapters(name, True)
    for name, take in computed.items():
        take(getattr(target, name).detach())
    if type(module) in COPYING:
        first, *others = module.layers  # type: ignore[misc]
        for layer in others:
            layer.load_state_dict(first.state_dict())


def _needs(function: Any) -> int:
    """How many arguments it must be given; -1 where that is not known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return -1
    positional = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return len([p for p in positional if p.default is p.empty])
