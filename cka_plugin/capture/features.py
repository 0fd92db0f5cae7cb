"""From the activations of a layer, with the examples first, to one row of features an example."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import Adapter, Inputs, Layer
from cka_plugin.capture.axes import Axes, Channels, channels_of
from cka_plugin.capture.pooling import OVER_PLACES, pool
from cka_plugin.capture.rows import Slot, Taken


class Features:
    """Pools the activations of one model's layers.

    Args:
        model: the unwrapped module.
        adapter: its adapter, which knows masks.
        pooling: see `pooling.pool`.

    Attributes:
        inputs: of the pass that runs.
    """

    def __init__(self, model: nn.Module, adapter: Adapter, pooling: str) -> None:
        self.model, self.adapter, self.pooling = model, adapter, pooling
        self.inputs: Inputs = ()
        self._channels: Channels | None = None
        self._axes: dict[Slot, Axes | None] = {}  # that hold channels, kept from the first minibatch

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Within it which axes hold channels is followed, where the pooling asks for it."""
        if self.pooling not in OVER_PLACES:
            yield
            return
        with Channels() as self._channels:
            yield
        self._channels = None

    def of(self, slot: Slot, layer: Layer, taken: Taken, given: Any) -> Tensor:
        """(n, d) features of a layer.

        Args:
            slot: the layer, and the number of its call.
            layer: the layer.
            taken: its activations.
            given: what the module was called with.

        Raises:
            UnknownPlaces: the pooling is over places, and nobody knows which axes they are on.
            ValueError: it does not fit the activations.
        """
        x = taken.x
        if self._channels is not None:
            self._axes[slot] = channels_of(self._channels, taken.found, given)
        axes = self._axes.get(slot)
        return pool(x, self.pooling, self._mask(layer, taken), None if axes is None else taken.reading.taken_axes(axes))

    def _mask(self, layer: Layer, taken: Taken) -> Tensor | None:
        x, lengths = taken.x, taken.found.lengths
        if lengths is not None and self.pooling in OVER_PLACES:
            lengths = lengths.to(x.device, non_blocking=x.device.type != "cpu")
            return torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        if x.ndim == 3 and self.pooling != "flatten":
            return self.adapter.mask(self.model, layer, self.inputs, x.shape[1])
        if x.ndim == 4 and taken.reading.gathers and self.pooling != "flatten":
            # Several sequences of one example (chunks of a document, the texts of a pair): each has its own mask.
            mask = self.adapter.mask(self.model, layer, self.inputs, x.shape[2])
            if mask is not None and len(mask) == x.shape[0] * x.shape[1]:
                return replace(taken.reading, tensor=0, axis=0).take(mask, len(x))
        return None
