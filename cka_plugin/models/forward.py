"""A model that the user's own function runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from cka_plugin.adapters import Adapter, Layer
from cka_plugin.adapters.base import Inputs


class GivenForward(Adapter):
    """The adapter of a model, but for how it is run: by a function of the model and a minibatch as it was given.

    Args:
        adapter: of the model's framework.
        function: `forward(model, batch)`; what it returns holds the logits, as the model's own output would.
    """

    def __init__(self, adapter: Adapter, function: Callable[[nn.Module, Any], Any]) -> None:
        self.inner = adapter
        self.function = function
        self.name = adapter.name

    def owns(self, model: nn.Module) -> bool:
        return self.inner.owns(model)

    def layers(self, model: nn.Module, granularity: str = "block") -> list[Layer]:
        return self.inner.layers(model, granularity)

    def forward(self, model: nn.Module, inputs: Inputs) -> Any:
        return self.function(model, inputs)

    def activation(self, model: nn.Module, layer: Layer, output: Any) -> Any:
        return self.inner.activation(model, layer, output)

    def mask(self, model: nn.Module, layer: Layer, inputs: Inputs, length: int) -> Tensor | None:
        return self.inner.mask(model, layer, inputs, length)

    def logits(self, model: nn.Module, output: Any) -> Tensor | None:
        return self.inner.logits(model, output)

    def class_names(self, model: nn.Module) -> list[str] | None:
        return self.inner.class_names(model)
