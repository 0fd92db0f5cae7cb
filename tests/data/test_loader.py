"""A loader's examples are those of its data set, whatever the order; what comes again is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, Subset, TensorDataset

import cka_plugin as cka

N = 48
X, Y = torch.randn(N, 6, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 3
DATA = TensorDataset(X, Y)
NET = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def read(data: Any, **options: Any) -> cka.Representation:
    return cka.represent({"net": NET}, data, granularity="module", progress=False, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_ids_are_the_places_in_the_data_set_shuffled_or_not(workers: int) -> None:
    loader = DataLoader(DATA, 16, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    next(iter(loader))  # workers that persist are running already
    found, straight = read(loader), read(DataLoader(DATA, 16))
    assert found.example_ids != straight.example_ids == list(range(N))
    assert sorted(found.example_ids) == list(range(N))
    assert found.labels is not None
    assert found.labels.tolist() == [i % 3 for i in found.example_ids]
    prints = dict(zip(straight.example_ids, straight.fingerprints, strict=True))
    assert [prints[i] for i in found.example_ids] == found.fingerprints.tolist()


def test_labels_given_apart_follow_the_examples_of_a_loader_that_shuffles() -> None:
    found = read(DataLoader(TensorDataset(X), 16, shuffle=True), labels=Y.tolist())
    assert found.labels is not None
    assert found.labels.tolist() == [i % 3 for i in found.example_ids]
    with pytest.raises(ValueError, match="given 3 labels apart from a DataLoader that shuffles"):
        read(DataLoader(TensorDataset(X), 16, shuffle=True), labels=[0, 1, 2])


def test_a_subset_has_its_own_places() -> None:
    assert read(DataLoader(Subset(DATA, range(8, 24)), 8)).example_ids == list(range(16))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_minibatches_too_small_for_cka_are_regrouped(size: int) -> None:
    assert read(DataLoader(DATA, size)).batch_sizes == [N]
    assert read(DataLoader(DATA, size), batch_size=10).batch_sizes == [10, 10, 10, 10, 8]


class Rows(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    "loader",
    [
        lambda: DataLoader(DATA, 16, sampler=RandomSampler(DATA, replacement=True)),
        lambda: DataLoader(Rows(), 16, num_workers=2),  # each reads all
        lambda: torch.cat([X, X[:20]]),
    ],
    ids=["with replacement", "two workers", "tensor"],
)
def test_examples_that_repeat_are_noticed_and_can_be_left_out(loader: Any) -> None:
    with pytest.warns(cka.CKAWarning, match=r"examples of .* repeat the content of an earlier one.*repeats='drop'"):
        found = read(loader())
    assert len(set(found.example_ids)) == found.n_examples
    with pytest.warns(cka.CKAWarning, match="they were left out"):
        once = read(loader(), repeats="drop")
    assert once.n_examples == len(set(found.fingerprints.tolist())) < found.n_examples
    assert len(set(once.fingerprints.tolist())) == once.n_examples


def test_a_few_repeats_of_a_large_data_set_are_not_worth_a_word(recwarn: pytest.WarningsRecorder) -> None:
    read(torch.cat([torch.randn(300, 6), torch.zeros(2, 6)]))
    assert not [one for one in recwarn if "repeat" in str(one.message)]


def test_passes_over_a_loader_keep_ids_and_places() -> None:
    found = read(DataLoader(DATA, 16, shuffle=True), passes=2)
    assert found.n_examples == N
    assert sorted(np.concatenate(found.positions[3:]).tolist()) == list(range(N))


def test_words_as_labels_of_a_stream_are_numbered_once_all_are_known() -> None:
    items = [(x, ["cow", "ant", "bee"][i % 3]) for i, x in enumerate(X)]
    whole = read(DataLoader(items, 16))
    assert whole.label_names == ["ant", "bee", "cow"]
    assert whole.labels is not None
    assert whole.labels.tolist() == [[2, 0, 1][i % 3] for i in range(N)]
    sorted_items = sorted(items, key=lambda item: item[1])
    parts = [read(DataLoader(sorted_items, 16), shard=(i, 3)) for i in range(3)]  # each reads one word alone
    merged = cka.Representation.merge(parts)
    assert merged.label_names == ["ant", "bee", "cow"]
    assert merged.labels is not None
    assert merged.labels.tolist() == [0] * 16 + [1] * 16 + [2] * 16


def test_labels_that_are_classes_only_at_times_are_said() -> None:
    items = [(x, float(i) if i < 24 else i + 0.5) for i, x in enumerate(X)]
    with pytest.warns(cka.CKAWarning, match="labels of some minibatches of the loader are classes and of others not"):
        assert read(DataLoader(items, 8)).labels is None


def test_a_collate_fn_that_leaves_examples_out_leaves_the_rest() -> None:
    def without_first(items: list[Any]) -> Any:
        return torch.utils.data.default_collate(items[1:])

    found = read(DataLoader(DATA, 16, collate_fn=without_first))
    assert found.n_examples == N - 3
    assert len(set(found.example_ids)) == N - 3


def test_empty_texts_are_named_and_can_be_left_out() -> None:
    texts = ["a", "bc", "", "def", "gh", "i"]

    def count(text: str) -> Tensor:
        return torch.tensor([float(len(text)), float(ord(text[0])), 1.0, 2.0, 3.0, 4.0])

    for data in (texts, DataLoader(texts, 6)):  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"1 of 6 texts are empty or missing, such as that of example 2"):
            read(data, transforms=count)
        assert read(data, transforms=count, on_error="skip").n_examples == 5
