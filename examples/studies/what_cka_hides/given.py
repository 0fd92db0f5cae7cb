"""Activations that are there already, as a network: what any made example needs to be compared as models are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka

Part = str | pd.DataFrame  # of a page of tables


class Given(nn.Module):
    """Gives the activations of each layer for the number of an example.

    Args:
        layers: (n, features) each.
    """

    def __init__(self, *layers: np.ndarray) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Embedding.from_pretrained(torch.as_tensor(x).float()) for x in layers)

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            found = layer(number)
        return found


def compared(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], n: int, labels: torch.Tensor | None = None, in_order: bool = False
) -> cka.Comparison:
    """Two networks `a` and `b` of given activations, in minibatches of n: of examples at random, or in their order."""
    number = torch.arange(len(a[0]))
    data: Any = number if labels is None else (number, labels)
    if in_order:
        data = DataLoader(TensorDataset(number), batch_size=n)
    models = {"a": Given(*a), "b": Given(*b)}
    return cka.compare(models, data=data, layers=["layers.*"], batch_size=n, progress=False)


def spread(values: Sequence[float]) -> str:
    """The mean of draws or networks, with its 95% interval by Student's t where there are several."""
    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return f"{found.mean():.2f}"
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return f"{found.mean():.2f} ± {half:.2f}"
