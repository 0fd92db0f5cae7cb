"""The call that a page says to make it again with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

import cka_plugin as cka
from cka_plugin.options import Options
from cka_plugin.report.page.call import call_of


class Endless(IterableDataset):
    """A stream that has no length, as PyTorch's loaders then have none."""

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return iter(torch.randn(128, 4, generator=generator))


def test_data_without_a_length_are_compared_and_named_by_their_type() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    loader = DataLoader(Endless(), batch_size=32)
    assert call_of([{"net": net}], loader, Options()) == "cka.compare({'net': <Sequential>}, data=<DataLoader>)"
    comparison = cka.compare({"net": net}, data=loader, granularity="module", progress=False)
    assert comparison["net"].n_examples == 128


def test_texts_and_numbers_are_written_out_and_objects_named() -> None:
    said = call_of(["vit", "mine/folder"], {"x": torch.zeros(3), "kind": "a"}, Options(batch_size=32, labels=[1, 2]))
    assert said == (
        "cka.compare('vit', 'mine/folder', data={'x': <Tensor>, 'kind': 'a'}, labels=[1, 2], batch_size=32)"
    )
