"""A model is lent: whatever happens while it runs, it comes back as it was, and the random numbers with it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


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


@contextlib.contextmanager
def no_gradients() -> Iterator[None]:
    """No gradients within, but where a model switches them on itself; what it keeps can be used in training later.

    Not `torch.inference_mode`, whose tensors no training step can use, wherever a model keeps them (a dict, an
    `lru_cache`), and under which nothing inside may take gradients. It costs as much: the quickest of 9 runs took
    0.96 to 1.01 of the user CPU time of inference mode on the jobs of `tests.benchmarks`.
    """
    with torch.inference_mode(False), torch.no_grad():
        yield


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
