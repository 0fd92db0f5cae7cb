"""Inputs on their way to a CUDA device: page-locked, and copied on a stream of their own before models need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cka_plugin.capture.inputs import to_device
from cka_plugin.data import Batch


class CopiesAhead:
    """Copies what was prepared of minibatches to a CUDA device while the models run on earlier ones.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)
        self._copied: dict[int, torch.cuda.Event] = {}

    def begin(self, batch: Batch) -> None:
        """Begin to copy a minibatch, from whichever thread has prepared it."""
        with torch.cuda.stream(self._stream):
            batch.bring(lambda inputs: to_device(of_tensors(inputs, Tensor.pin_memory), self.device))
            event = torch.cuda.Event()
            event.record(self._stream)
        self._copied[batch.index] = event

    def arriving(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The minibatches, each of which what is run on the current stream from now on will find copied."""
        for batch in batches:
            event = self._copied.pop(batch.index, None)
            if event is not None:
                current = torch.cuda.current_stream(self.device)
                current.wait_event(event)
                batch.bring(partial(of_tensors, function=partial(_used_by, stream=current)))
            yield batch


def of_tensors(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Inputs of a model with a function of each tensor in place of it.

    Example:
        >>> of_tensors({"a": torch.ones(1), "b": (torch.zeros(1), "text")}, lambda x: x + 1)
        {'a': tensor([2.]), 'b': (tensor([1.]), 'text')}
    """
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {key: of_tensors(value, function) for key, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        parts = [of_tensors(value, function) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    return inputs


def _used_by(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    if tensor.is_cuda:  # its memory was given out on another stream, which may not have it back before this one is done
        tensor.record_stream(stream)
    return tensor
