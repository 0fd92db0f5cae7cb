"""What kind of layer a module of timm is: a single layer, a convolution with its norm."""

from __future__ import annotations

from torch import nn

from cka_plugin.adapters.modules import is_activation, is_norm

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_single(module: nn.Module) -> bool:
    """A single layer: a module without children, or a norm with its activation."""
    return is_norm(module) or not any(True for _ in module.children())


def is_conv_norm(module: nn.Module) -> bool:
    """One convolution with its norm and activation, and nothing else: no residual connection, no squeeze-excitation."""
    children = [child for child in module.children() if not isinstance(child, nn.Identity)]
    rest = [child for child in children if not isinstance(child, CONVOLUTIONS)]
    return len(children) == len(rest) + 1 and all(is_norm(child) or is_activation(child) for child in rest)


def parent(path: str) -> str:
    """The path of the module that holds `path`; "" is the model."""
    return path.rpartition(".")[0]
