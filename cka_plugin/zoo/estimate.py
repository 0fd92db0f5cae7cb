"""What a zoo will take, before it runs: parameters, size of the files, and roughly the time."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cka_plugin.adapters import registry as adapters
from cka_plugin.core import values_kept
from cka_plugin.data import ReadOptions, open_data, takes
from cka_plugin.data.batches import DEFAULT_BATCH_SIZE
from cka_plugin.engine.device import choose_device
from cka_plugin.models.building import architecture
from cka_plugin.models.chosen import choose
from cka_plugin.models.preparation import preparation_of
from cka_plugin.options import Options

BYTES = 4  # of a number in a file
# Networks of timm reach a quarter to a half of the rate of a large matrix product, and Gram products come on top.
_SHARE_OF_RATE = 0.25
_MEASURED_SECONDS = 0.1


@dataclass(frozen=True)
class Estimate:
    """What one model will take.

    Attributes:
        name: of the model.
        layers: compared.
        parameters: of the model.
        bytes: of its file; NaN where the number of examples is not known before.
        seconds: of one worker; NaN where it cannot be told.
        error: why the model cannot be looked at; None where it can.
    """

    name: str
    layers: int = 0
    parameters: int = 0
    bytes: float = math.nan
    seconds: float = math.nan
    error: str | None = None


@dataclass(frozen=True)
class Asked:
    """One model to look at: its name in comparisons and in its framework, the data and the options of its run."""

    name: str
    model: str
    data: Any
    options: Options


def estimate(asked: Asked) -> Estimate:
    """Look at a model without its weights; an error is an outcome like another."""
    try:
        return _estimate(asked)
    except Exception as error:
        return Estimate(asked.name, error=f"{type(error).__name__}: {error}")


def _estimate(asked: Asked) -> Estimate:
    own = asked.options.of_model(asked.name)
    model = architecture(asked.model, **(own.model_kwargs or {})).eval()
    chosen = choose(model, own, asked.name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    read = ReadOptions.of(own)
    source = open_data(asked.data, own.labels)
    examples, minibatches = source.count(read)
    layers = len(chosen.layers)
    size = math.nan
    if examples is not None and minibatches:
        n = min(read.batch_size or DEFAULT_BATCH_SIZE, examples)
        size = BYTES * layers * examples / n * (values_kept(n, own.projection) + n)
    flops, classes = _of_forward(asked, own, chosen.root)
    size += BYTES * (examples or 0) / read.passes * classes
    seconds = math.nan if examples is None else examples * flops / (_rate(own.device) * _SHARE_OF_RATE)
    return Estimate(asked.name, layers, parameters, size, seconds)


def _of_forward(asked: Asked, options: Options, root: Any) -> tuple[float, int]:
    """Floating-point operations of one example, and the number of logits; NaN and 0 where the model will not tell."""
    from torch.utils.flop_counter import FlopCounterMode

    inner, _ = adapters.unwrap(root)
    adapter = adapters.adapter_of(inner)
    device = next((parameter.device for parameter in inner.parameters()), torch.device("cpu"))
    preparation = preparation_of(inner, adapter, options.transforms, options.max_length)
    takes_them = takes(asked.name, inner, preparation, options.inputs, options.forward)
    source = open_data(asked.data, options.labels)
    few = ReadOptions(max_examples=4, batch_size=4, on_error=options.on_error, seed=options.seed)
    with contextlib.closing(source.batches(few)) as batches:  # type: ignore[type-var]
        batch = next(batches)
        inputs = _on(batch.for_model(takes_them), device)
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            logits = adapter.logits(inner, adapter.forward(inner, inputs))
    except Exception:  # models fail on the meta device in ways of their own: the time is then unknown
        return math.nan, 0
    return counter.get_total_flops() / batch.size, 0 if logits is None else int(logits.shape[-1])


def _on(inputs: Any, device: torch.device) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    if isinstance(inputs, Mapping):
        return {key: _on(value, device) for key, value in inputs.items()}
    return type(inputs)(_on(value, device) for value in inputs) if isinstance(inputs, tuple | list) else inputs


def _rate(device: str) -> float:
    """Floating-point operations a second of a matrix product here, as measured in a moment."""
    where = choose_device(device)
    x = torch.ones(768, 768, device=where)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < _MEASURED_SECONDS:
        float((x @ x)[0, 0])  # waits for the device
        count += 1
    return 2 * 768**3 * count / (time.perf_counter() - began)
