"""Four ways of CKA to mislead, on networks trained on crops: moved examples, minibatches, pooling, a block by eye."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from given import Part, compared, spread
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from tiny_ten import TinyTen
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import cka_plugin as cka

DISTANCES = (0, 1, 3, 10, 30)


@torch.no_grad()
def moved(nets: Mapping[str, TinyTen], x: torch.Tensor, y: torch.Tensor) -> tuple[list[Part], dict[str, Any]]:
    """The last layer before the logits; the crops of one photograph are moved away from all others, along a line."""
    values: dict[float, list[tuple[float, ...]]] = {distance: [] for distance in DISTANCES}
    for place, net in enumerate(nets.values()):
        h = x
        for module in [*net.blocks, net.pool]:
            h = module(h)
        before = (h - h.mean(0)).numpy()
        those = (y == place % 14).numpy()
        line = before[those].mean(0) - before[~those].mean(0)
        line *= np.sqrt((before**2).sum(1).mean()) / np.linalg.norm(line)
        for distance in DISTANCES:
            after = before + distance * those[:, None] * line
            comparison = compared([before], [after], 112, y)
            right = cross_val_score(RidgeClassifier(), after, y, cv=5).mean()
            rest = comparison.without_dominant_examples(fractions=(0.05, 0.1)).means()[1:]
            knn = comparison.matrix(measure="mutual_knn")[0, 0]
            values[distance].append((right, comparison.matrix()[0, 0], *rest, knn))
    head = ["distance", "told right by a linear readout", "CKA"]
    head += ["CKA without 5% dominant", "CKA without 10%", "mutual_knn"]
    rows = [(distance, *map(spread, zip(*found, strict=True))) for distance, found in values.items()]
    levels = comparison.levels("a", "b", draws=19, fraction=0.1)
    found = np.isin(np.flatnonzero(those), levels.dominant_examples).mean()
    told = f"What is said of the last, where photograph {place % 14} was moved; {found:.0%} of its crops are left out:"
    drawn = {name: [np.mean([f[i] for f in values[d]]) for d in DISTANCES] for i, name in enumerate(head[1:])}
    return [pd.DataFrame(rows, columns=head), told, levels.layers[0].sentence, comparison.examples().by_class()], drawn


def minibatches(nets: Mapping[str, TinyTen], x: torch.Tensor, y: torch.Tensor) -> list[Part]:
    """An early layer of one network with a late one of another; and the same crops sorted by photograph."""
    asked = {"layers": ["blocks.2", "blocks.7"], "granularity": "module", "progress": False}
    names = list(nets)
    pairs = list(zip(names[::2], names[1::2], strict=False))
    rows = []
    for n in (16, 64, 256):
        unbiased = cka.compare(dict(nets), data=x, batch_size=n, **asked)
        biased = cka.Comparison(list(unbiased.representations.values()), estimator="biased")
        of = [[comparison.matrix(*pair)[0, 1] for pair in pairs] for comparison in (biased, unbiased)]
        of.append([unbiased.matrix(*pair, measure="mutual_knn")[0, 1] for pair in pairs])
        rows.append((n, *map(spread, of)))
    order = torch.from_numpy(np.argsort(y.numpy(), kind="stable"))
    values = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for places in (torch.arange(len(x)), order):
            loader = DataLoader(TensorDataset(x[places], y[places]), batch_size=64)
            values.append([cka.compare(dict(nets), data=loader, **asked).matrix(*pair)[1, 1] for pair in pairs])
    mixed, by_class = map(spread, values)
    said = f"`blocks.7` of two networks: CKA {mixed} on mixed crops, {by_class} on the same crops sorted by photograph."
    quoted = dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, cka.CKAWarning))
    head = ["n", "CKA, biased", "CKA, unbiased", "mutual_knn"]
    return [pd.DataFrame(rows, columns=head), said, "What is warned of:", *quoted]


class Watched(nn.Module):
    """A network of which one map is watched: as it is, of shifted pictures, or with its places shuffled.

    Each picture is shifted by up to 4 pixels either way, and its places are shuffled, in a way of its own that depends
    on nothing but its pixels.
    """

    def __init__(self, net: nn.Module, layer: str, change: str = "") -> None:
        super().__init__()
        self.net, self.layer, self.change, self.seen = net, layer, change, Seen()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        draws = [torch.Generator().manual_seed(zlib.crc32(one.numpy().tobytes())) for one in x]
        if self.change == "shifted":
            by = [torch.randint(-4, 5, (2,), generator=draw).tolist() for draw in draws]
            x = torch.stack([one.roll(shift, (1, 2)) for one, shift in zip(x, by, strict=True)])
        maps: list[torch.Tensor] = []
        with self.net.get_submodule(self.layer).register_forward_hook(lambda module, given, made: maps.append(made)):
            self.net(x)
        return self.seen(maps[0], draws if self.change == "shuffled" else ())


class Seen(nn.Module):
    """(n, channels, h, w), the places of each example in an order of its own where there are draws."""

    def forward(self, maps: torch.Tensor, draws: Sequence[torch.Generator]) -> torch.Tensor:
        if draws:
            orders = [torch.randperm(maps[0, 0].numel(), generator=draw) for draw in draws]
            mixed = [one.flatten(1)[:, order].view_as(one) for one, order in zip(maps, orders, strict=True)]
            maps = torch.stack(mixed)
        return functional.avg_pool2d(maps, 1)  # changes nothing, and tells which axes are places


def pooling(data: Mapping[str, tuple[Mapping[str, nn.Module], str, torch.Tensor]]) -> list[Part]:
    """Maps of each network beside the same of shifted pictures, and beside the same with their places shuffled.

    data: what pictures -> networks, the layer watched, the pictures.
    """
    rows = []
    for what, (nets, layer, x) in data.items():
        for change in ("shifted", "shuffled"):
            found = []
            for net in nets.values():
                two = {"as it is": Watched(net, layer), "changed": Watched(net, layer, change)}
                flat, mean = (
                    cka.compare(two, data=x, layers=["seen"], granularity="module", pooling=how, progress=False)
                    for how in ("flatten", "mean")
                )
                knn = [comparison.matrix(measure="mutual_knn")[0, 0] for comparison in (flat, mean)]
                found.append((flat.matrix()[0, 0], mean.matrix()[0, 0], *knn))
            rows.append((what, change, *map(spread, zip(*found, strict=True))))
    head = ["pictures", "and", "CKA, flattened", "CKA, mean over places", "mutual_knn, flattened", "mutual_knn, mean"]
    return [pd.DataFrame(rows, columns=head)]
