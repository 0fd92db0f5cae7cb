"""Architectures of timm without weights, and the adapter that reads them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Layer, first_tensor
from cka_plugin.adapters.timm.adapter import TimmAdapter

timm = pytest.importorskip("timm")


ADAPTER = TimmAdapter()


SIZE = 64


def bare(name: str, **model_kwargs: Any) -> nn.Module:
    """An architecture without values."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **model_kwargs).eval()


def real(name: str, **model_kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, **model_kwargs).eval()


def names(model: nn.Module, granularity: str = "block") -> list[str]:
    return [layer.name for layer in ADAPTER.layers(model, granularity)]


def captured(model: nn.Module, x: Any, granularity: str = "block") -> tuple[dict[str, Tensor], Any]:
    """The output of every layer, by name, and what the model returns."""
    outputs: dict[str, Tensor] = {}
    handles = []
    for layer in ADAPTER.layers(model, granularity):

        def keep(module: nn.Module, args: Any, output: Any, layer: Layer = layer) -> None:
            found = first_tensor(ADAPTER.activation(model, layer, output))
            assert found is not None
            outputs[layer.name] = found.clone()

        handles.append(model.get_submodule(layer.path).register_forward_hook(keep))
    with torch.inference_mode():
        returned = ADAPTER.forward(model, x)
    for handle in handles:
        handle.remove()
    return outputs, returned
