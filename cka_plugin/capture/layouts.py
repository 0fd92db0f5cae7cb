"""Memory formats: convolutional networks run with the channels last, which is faster; no model is changed.

On a CPU with 2 threads, 96 px and n = 8 it takes, with `packed_weights`, 0.46 to 0.98 of the time of PyTorch's default
format for 15 networks (`python -m tests.benchmarks formats`). Features are read without a copy. Activations
differ by rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

LEAST_CONVOLUTIONS = 4  # a Vision Transformer's patch embedding has one or two, and gains nothing
LEAST_WEIGHTS = 500_000  # of convolutions; smaller networks take no time worth a change of their rounding
MOST_COPIED = 1 << 18  # weights of one convolution; to lay out larger ones at every call costs little beside products


def gains_from_channels_last(model: nn.Module, device: torch.device, half: bool = False) -> bool:
    """Whether `model` is a convolutional network that runs faster with the channels last.

    Args:
        model: any module.
        device: where it runs. On CUDA only half precision gains (tensor cores).
        half: whether the forward pass is in half precision.

    Example:
        >>> gains_from_channels_last(nn.Sequential(*[nn.Conv2d(128, 128, 3) for _ in range(4)]), torch.device("cpu"))
        True
        >>> gains_from_channels_last(nn.Sequential(nn.Conv2d(3, 768, 16, 16)), torch.device("cpu"))
        False
    """
    if device.type != "cpu" and not (device.type == "cuda" and half):
        return False
    sizes = [weight.numel() for weight in map(_plain, model.modules()) if weight is not None]
    return len(sizes) >= LEAST_CONVOLUTIONS and sum(sizes) >= LEAST_WEIGHTS


@contextlib.contextmanager
def weights_channels_last(model: nn.Module) -> Iterator[None]:
    """Within it 2-d convolutions have weights laid out channels last, but large ones; after it all is as before."""
    before = []
    try:
        for module in model.modules():
            weight = _plain(module)
            if weight is not None and weight.numel() <= MOST_COPIED:
                before.append((weight, weight.data))
                weight.data = weight.data.to(memory_format=torch.channels_last)  # strides too, of one channel
        yield
    finally:
        for weight, data in before:
            weight.data = data


def _plain(module: nn.Module) -> nn.Parameter | None:
    """The weight of a 2-d convolution; None where it is parametrised, quantised or sharded."""
    weight = module._parameters.get("weight") if isinstance(module, nn.Conv2d) else None
    return weight if type(weight) is nn.Parameter and weight.is_floating_point() else None
