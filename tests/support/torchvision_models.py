"""Architectures of torchvision without weights, and the adapter that reads them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torchvision import models as tv

from cka_plugin.adapters import layers
from cka_plugin.adapters.torchvision.adapter import TorchvisionAdapter

ADAPTER = TorchvisionAdapter()


def bare(name: str, **kwargs: Any) -> nn.Module:
    """An architecture without values: on the meta device where it can be built there."""
    if "weights_backbone" in inspect.signature(tv.get_model_builder(name)).parameters:
        kwargs["weights_backbone"] = None
    if name.removeprefix("quantized_") in ("googlenet", "inception_v3"):
        kwargs["init_weights"] = False
    if name.startswith("regnet"):  # counts its widths with tensors
        return tv.get_model(name, weights=None, **kwargs)
    with torch.device("meta"):
        return tv.get_model(name, weights=None, **kwargs)


def names(model: nn.Module, granularity: str = "block") -> list[str]:
    return [layer.name for layer in layers(model, granularity)]
