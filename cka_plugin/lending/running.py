"""How a lent model runs: without gradients, and so that hooks see all it does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def stays_where_it_is(model: nn.Module) -> bool:
    """Whether a model must not be moved or laid out anew, as somebody else sees to where its weights are.

    It is quantised, or spread over devices, processes or files: by accelerate, FSDP, tensor parallelism or DeepSpeed.
    """
    parameters = list(model.parameters())
    sharded = any(hasattr(p, "device_mesh") or hasattr(p, "ds_id") for p in parameters)
    sharded |= any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
    spread = getattr(model, "hf_device_map", None) is not None or len({p.device for p in parameters}) > 1
    quantised = bool(getattr(model, "is_quantized", False)) or bool(getattr(model, "is_loaded_in_8bit", False))
    return sharded or spread or quantised or any(map(is_offloaded, model.modules()))


def is_offloaded(module: nn.Module) -> bool:
    """Whether accelerate brings the weights of a module from elsewhere for each forward pass, and takes them away."""
    hook = getattr(module, "_hf_hook", None)
    return any(getattr(one, "weights_map", None) is not None for one in getattr(hook, "hooks", [hook]))


def device_of(model: nn.Module) -> torch.device:
    """Where a model takes its inputs: where its first tensor is, or where accelerate brings the weights."""
    for module in model.modules():
        if is_offloaded(module):
            hook: Any = module._hf_hook
            where = [getattr(one, "execution_device", None) for one in getattr(hook, "hooks", [hook])]
            return torch.device(next((device for device in where if device is not None), "cpu"))
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))


def evaluating(model: nn.Module) -> None:
    """Bring a model into `eval()`; exported programs, which are fixed in one mode, refuse it and stay as they are."""
    try:
        model.eval()
    except NotImplementedError:
        for child in model.children():
            evaluating(child)


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
