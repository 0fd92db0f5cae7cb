"""The noise of a model's own machine: how far rounding alone moves its layers.

Another BLAS, another number of threads or a GPU adds up in another order, so that every activation comes out different
in its last bits. That is imitated, a little exaggerated, by moving the output of every leaf module at random by its own
rounding unit. Half precision is added up in float32 and rounded once, so that there each value moves by half a unit of
its own. A threshold that this noise reaches would be a coin flip.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cka_plugin.adapters.base import is_leaf, unwrap
from cka_plugin.calls import represent
from cka_plugin.comparison import Comparison
from cka_plugin.representation import Representation, check_comparable
from cka_plugin.warnings import CKAWarning

FLOAT32_UNITS = 4.0  # of the root mean square of an output: sums of 10,000 terms in another order differ by less
HALF_UNITS = 0.5  # of each value
MARGIN = 4.0  # a layer's floor is so many times what was measured once
SMALLEST_FLOOR = 1e-6  # float32 products of Gram vectors are no better
UNKNOWN_FLOOR = 1e-5  # where nobody measured: what other threads and memory formats did to float32 models


def floor_of(measured: float | None) -> float:
    """1 - CKA that an unchanged layer may show, from what was measured when its baseline was made.

    Example:
        >>> floor_of(None), floor_of(0.0), floor_of(1e-4)
        (1e-05, 1e-06, 0.0004)
    """
    return UNKNOWN_FLOOR if measured is None else max(SMALLEST_FLOOR, MARGIN * measured)


def measured_noise(
    first: Representation, model: nn.Module, data: Any, run: Mapping[str, Any]
) -> tuple[dict[str, float], float]:
    """1 - CKA of each layer between a run and another whose activations differ by rounding, and the churn between them.

    Args:
        first: the run.
        model: the same model.
        data: the same data.
        run: how it was run, as for `represent`.

    Raises:
        ValueError: the data gave other examples.
    """
    with rounded_otherwise(model), warnings.catch_warnings():
        warnings.simplefilter("ignore", CKAWarning)  # the first run said it all
        second = represent({first.name: model}, data, like=first, **run)
    try:
        check_comparable(first, second)
    except ValueError as error:
        raise ValueError(
            "the data gave other examples when read a second time (random augmentation, or a shuffle without a"
            f" seed?): a baseline needs examples that stay what they are. {error}"
        ) from error
    matrix = Comparison([first.renamed("first"), second.renamed("second")]).matrix("first", "second")
    noise = {
        layer.name: max(0.0, float(value))
        for layer, value in zip(first.layers, 1.0 - np.diagonal(matrix), strict=True)
        if np.isfinite(value)
    }
    if first.predictions is None or second.predictions is None:
        return noise, 0.0
    return noise, float((first.predictions != second.predictions).mean())


@contextlib.contextmanager
def rounded_otherwise(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Within, every leaf module of `model` returns what another machine might: the same, but for the last bits.

    Hooks of this kind act before hooks that are registered within. The global random state is not touched.

    Example:
        >>> net, x = nn.Linear(8, 8), torch.ones(1, 8)
        >>> before = net(x)
        >>> with rounded_otherwise(net):
        ...     0 < (net(x) - before).abs().max() < 1e-5
        tensor(True)
        >>> torch.equal(net(x), before)
        True
    """
    generators: dict[torch.device, torch.Generator] = {}

    def moved(value: Any) -> Any:
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple(moved(part) for part in value)
        if not isinstance(value, Tensor) or value.is_quantized or not value.is_floating_point() or not value.numel():
            return value
        if value.device not in generators:
            generators[value.device] = torch.Generator(device=value.device).manual_seed(seed)
        half = value.dtype in (torch.float16, torch.bfloat16)
        wide = value.float() if half else value
        noise = torch.empty_like(wide).normal_(generator=generators[value.device])
        size = HALF_UNITS * wide if half else FLOAT32_UNITS * wide.square().mean().sqrt()
        return (wide + torch.finfo(value.dtype).eps * size * noise).to(value.dtype)

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        return moved(output)

    inner, _ = unwrap(model)
    modules = [module for module in inner.modules() if is_leaf(module) and not isinstance(module, nn.Identity)]
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(hook).remove)
        yield
