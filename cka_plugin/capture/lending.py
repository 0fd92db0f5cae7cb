"""A model is lent: whatever happens while it runs, it comes back as it was, and the random numbers with it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def lent(model: nn.Module) -> Iterator[None]:
    """Whatever happens within: training flags, tensors, devices and buffers are afterwards what they were."""
    modules = list(model.modules())
    training = [module.training for module in modules]
    slots: list[tuple[dict[str, Any], dict[str, Any]]]
    plain = [module for module in modules if not isinstance(module, torch.jit.ScriptModule)]  # whose slots are fixed
    slots = [(module._parameters, dict(module._parameters)) for module in plain]
    slots += [(module._buffers, dict(module._buffers)) for module in plain]
    data = {id(t): (t, t.data) for _, held in slots for t in held.values() if t is not None}
    attributes = [set(vars(module)) for module in modules]
    try:
        yield
    finally:
        for module, flag in zip(modules, training, strict=True):
            module.training = flag
        for held, before in slots:
            held.clear()
            held.update(before)
        for tensor, value in data.values():
            if tensor.data_ptr() != value.data_ptr() or tensor.device != value.device:
                tensor.data = value
        for module, before_names in zip(modules, attributes, strict=True):
            for name, value in list(vars(module).items()):
                # A tensor that a module cached under inference_mode could not be used in training later.
                if isinstance(value, Tensor) and value.is_inference():
                    if name in before_names:
                        setattr(module, name, value.clone())
                    else:
                        delattr(module, name)


@contextlib.contextmanager
def forked_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers start from `seed` within, and go on after it as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed devices that are not put back
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def hooks_seen() -> Iterator[None]:
    """Compiled parts run eagerly and attention leaves its fused path: both would pass the hooks by."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    set_stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled, and asking would import it: seconds
        set_stance = None
    try:
        with set_stance("force_eager") if set_stance is not None else contextlib.nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
