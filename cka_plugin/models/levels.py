"""Levels to hold a CKA against: the inputs themselves, and an untrained copy of the model.

What two models share may be the data's doing, or the architecture's: neither was learned.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from cka_plugin.adapters import registry as adapters
from cka_plugin.adapters.base import first_tensor
from cka_plugin.analysis.grams import PackedGrams, pack_layers
from cka_plugin.capture.lending import forked_rng
from cka_plugin.data import Batch, ReadOptions, open_data
from cka_plugin.representation import Representation
from cka_plugin.warnings import CKAWarning
from cka_plugin.wording import listed


def untrained(model: Any, seed: int = 0) -> nn.Module:
    """The same architecture before any training: what it makes similar was not learned.

    Compare it beside the model: `cka.compare({"net": net, "untrained": cka.untrained(net)}, data=data)`.

    A name is built without weights. A copy of a module is initialised anew: by its framework's own initialiser where
    there is one (transformers), else by each module's `reset_parameters` and the model's `init_weights`. Parameters
    that none of them sets have their entries shuffled, with a warning.

    Args:
        model: an `nn.Module`, which is left as it is, or a name as for `compare`.
        seed: of the initialisation; global random states are left as they are.

    Raises:
        ValueError: an unknown name.
        TypeError: no model.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> fresh = untrained(net)
        >>> fresh[0].weight.shape == net[0].weight.shape, bool((fresh[0].weight == net[0].weight).any())
        (True, False)
    """
    with forked_rng(seed, torch.device("cpu")):
        if isinstance(model, str | os.PathLike) and not os.fspath(model).startswith("sample:"):
            return adapters.load_model(os.fspath(model), pretrained=False)
        if isinstance(model, str):
            from cka_plugin import sample

            model = sample.model(model.removeprefix("sample:"))
        if not isinstance(model, nn.Module):
            raise TypeError(f"untrained takes an nn.Module or a name; given {type(model).__name__}")
        inner, _ = adapters.unwrap(model)
        config = getattr(inner, "config", None)
        if config is not None and type(inner).__module__.startswith("transformers."):
            return type(inner)(copy.deepcopy(config)).train(inner.training)
        fresh = copy.deepcopy(inner)
        _initialise(fresh)
        return fresh


def _initialise(model: nn.Module) -> None:
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    left = []
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.fill_(float("nan"))  # what is still NaN in the end, no initialiser has set
        for module in model.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        for initialise in (getattr(model, "init_weights", None), getattr(model, "_init_weights", None)):
            if callable(initialise) and _takes_nothing(initialise):
                initialise()
                break
        for name, parameter in model.named_parameters():
            if parameter.isnan().any():
                left.append(name)
                values = before[name].flatten()
                parameter.copy_(values[torch.randperm(values.numel())].view_as(parameter))
    if left:
        warnings.warn(
            f"no initialiser sets {listed(left, 4)} of {type(model).__name__}: their entries were shuffled",
            CKAWarning,
            stacklevel=4,
        )


def _takes_nothing(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def input_vectors(data: Any, like: Representation) -> PackedGrams:
    """The data as a pseudo-layer: raw pixels or features, in the minibatches of a representation.

    Args:
        data: what the representation was made on.
        like: the representation.

    Raises:
        ValueError: other examples, or examples that are not numbers of one shape.
    """
    from cka_plugin.calls import read_like

    read = read_like(like, ReadOptions())
    source = open_data(data)
    vectors, diagonals = [], []
    with contextlib.closing(source.batches(read)) as batches:  # type: ignore[type-var]
        for batch in _together(batches, like):
            grams = pack_layers([_numbers(batch)], [np.arange(batch.size)])
            vectors.append(grams.vectors[0])
            diagonals.append(grams.diagonals[0])
    return PackedGrams(vectors, diagonals, [minibatch.positions for minibatch in like.minibatches], like.passes)


def _together(batches: Iterator[Batch], like: Representation) -> Iterator[Batch]:
    """The minibatches read, once they are seen to be those of the representation."""
    minibatches = iter(like.minibatches)
    for batch in batches:
        minibatch = next(minibatches, None)
        known = None if minibatch is None else like.fingerprints[minibatch.positions]
        if known is None or not np.array_equal(batch.fingerprints, known):
            raise ValueError(f"the data are not those that {like.name} was made on: other examples, or another order")
        yield batch
    if next(minibatches, None) is not None:
        raise ValueError(f"the data are fewer than those that {like.name} was made on")


def _numbers(batch: Batch) -> np.ndarray:
    """(n, ...) the examples of a minibatch as they are in the data."""
    if batch.inputs is not None:
        found = first_tensor(batch.inputs, batch.size)
        if found is None:
            raise ValueError("the inputs hold no floating tensor: similarity to the input needs pixels or features")
        return found.numpy()
    arrays = [np.asarray(example) for example in batch.raw or []]
    if any(array.dtype.kind not in "uifb" for array in arrays) or len({array.shape for array in arrays}) != 1:
        raise ValueError(
            "the examples are not numbers of one shape (texts, or images of several sizes): similarity to the input "
            "needs arrays or images of one size"
        )
    return np.stack(arrays).astype(np.float64)
