"""The content decides, not its container: the same examples give the same ids, labels, fingerprints and numbers."""

from __future__ import annotations

import dataclasses
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import cka_plugin as cka
from cka_plugin.data.counting import is_minibatch
from cka_plugin.data.items import of_item, of_items, of_minibatch

N = 24
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0))
Y = [i % 3 for i in range(N)]
WORDS = ["ant", "bee", "cow"]
NET = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
Pair = namedtuple("Pair", "image label")


@dataclasses.dataclass
class Example:
    image: Tensor
    label: int


ITEMS: dict[str, Callable[[int], Any]] = {
    "pair": lambda i: (X[i], Y[i]),
    "list": lambda i: [X[i], Y[i]],
    "float64 array": lambda i: (X[i].double().numpy(), np.int64(Y[i])),
    "numbers": lambda i: (X[i].tolist(), Y[i]),
    "mapping": lambda i: {"image": X[i], "label": torch.tensor(Y[i])},
    "words": lambda i: (X[i], WORDS[Y[i]]),
    "one-hot": lambda i: (X[i], nn.functional.one_hot(torch.tensor(Y[i]), 3).float()),
    "float label": lambda i: (X[i], float(Y[i])),
    "label of one axis": lambda i: (X[i], torch.tensor([Y[i]])),
    "named tuple": lambda i: Pair(X[i], Y[i]),
    "data class": lambda i: Example(X[i], Y[i]),
}


class Items(Dataset):
    def __init__(self, item: Callable[[int], Any]) -> None:
        self.item = item

    def __len__(self) -> int:
        return N

    def __getitem__(self, place: int) -> Any:
        return self.item(place)


class Stream(IterableDataset):
    def __init__(self, item: Callable[[int], Any]) -> None:
        self.item = item

    def __iter__(self) -> Iterator[Any]:
        return iter([self.item(place) for place in range(N)])


CONTAINERS: dict[str, Callable[[Callable[[int], Any], int], Any]] = {
    "list": lambda item, size: [item(i) for i in range(N)],
    "data set": lambda item, size: Items(item),
    "stream": lambda item, size: Stream(item),
    "generator": lambda item, size: (item(i) for i in range(N)),
    "loader": lambda item, size: DataLoader(Items(item), size, collate_fn=None),
    "shuffled": lambda item, size: DataLoader(Items(item), size, shuffle=True),
    "loader of single examples": lambda item, size: DataLoader(Items(item), None),
    "loader of a stream": lambda item, size: DataLoader(Stream(item), size),
    "loader of lists": lambda item, size: DataLoader(Items(item), size, collate_fn=list),
    "loader of columns": lambda item, size: DataLoader(
        Items(item), size, collate_fn=lambda b: tuple(zip(*b, strict=True))
    ),
}


def read(data: Any, **options: Any) -> cka.Representation:
    with warnings.catch_warnings():
        warnings.simplefilter("error", cka.CKAWarning)
        return cka.represent({"net": NET}, data, granularity="module", progress=False, **options)


REFERENCE = read((X, torch.tensor(Y)))


def assert_same_examples(found: cka.Representation) -> None:
    assert found.labels is not None
    assert found.logits is not None
    assert sorted(found.example_ids) == list(range(N))
    prints = dict(zip(REFERENCE.example_ids, REFERENCE.fingerprints, strict=True))
    assert [prints[i] for i in found.example_ids] == found.fingerprints.tolist()
    assert found.labels.tolist() == [Y[i] for i in found.example_ids]
    assert found.label_names in (None, WORDS)
    right = NET(X).detach().numpy()[np.array(found.example_ids)]
    assert np.allclose(found.logits, right, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(item=st.sampled_from(sorted(ITEMS)), container=st.sampled_from(sorted(CONTAINERS)), size=st.integers(1, N))
def test_any_container_of_the_same_items_is_the_same_examples(item: str, container: str, size: int) -> None:
    if container == "loader of columns" and item in ("mapping", "data class"):
        return  # zip of a mapping gives its keys
    if container in ("loader", "shuffled", "loader of a stream") and item == "data class":
        return  # which PyTorch does not collate
    assert_same_examples(read(CONTAINERS[container](ITEMS[item], size)))


@pytest.mark.parametrize(
    "data",
    [
        (X.numpy(), np.array(Y)),
        (X.double().numpy(), Y),
        (X, nn.functional.one_hot(torch.tensor(Y))),
        (X, [WORDS[y] for y in Y]),
        {"x": X, "label": torch.tensor(Y)},
        {"image": X.numpy(), "target": Y},
        Pair(X, torch.tensor(Y)),
        pd.DataFrame({**{f"f{i}": X[:, i].double() for i in range(6)}, "label": Y}),
        pd.DataFrame({**{f"f{i}": X[:, i] for i in range(6)}, "label": [WORDS[y] for y in Y]}),
        TensorDataset(X, torch.tensor(Y)),
    ],
    ids=lambda data: type(data).__name__,
)
def test_all_examples_at_once_are_the_same_examples(data: Any) -> None:
    assert_same_examples(read(data))


@pytest.mark.parametrize("as_array", [False, True])
def test_minibatches_that_the_data_set_makes_are_minibatches(as_array: bool) -> None:
    def minibatch(start: int) -> tuple[Any, Any]:
        x, y = X[start : start + 8], torch.tensor(Y[start : start + 8])
        return (x.double().numpy(), y.numpy()) if as_array else (x, y)

    made = [minibatch(start) for start in range(0, N, 8)]
    assert_same_examples(read(DataLoader(made, batch_size=None)))
    assert_same_examples(read(minibatch for minibatch in made))
    with pytest.warns(cka.CKAWarning, match="was read as a minibatch with its labels"):
        assert_same_examples(cka.represent({"net": NET}, made, granularity="module", progress=False))


def test_what_could_be_an_example_or_a_minibatch_is_said() -> None:
    loader = DataLoader([X[start : start + 6] for start in range(0, N, 6)], batch_size=None)
    with pytest.warns(cka.CKAWarning, match=r"read as one example, since batch_size=None: if they are minibatches"):
        cka.represent({"net": NET}, loader, granularity="module", progress=False)


def test_how_many_examples_a_minibatch_holds_is_not_the_length_of_what_comes_first() -> None:
    shared = {"graph": torch.ones(20, 20), "x": X[:8], "y": torch.arange(8)}
    content = of_minibatch(shared)
    assert content.n == 8
    assert [member.shared for member in content.members] == [True, False, False]
    with pytest.raises(ValueError, match="tensors of 20 and 8 rows: nobody can tell"):
        of_minibatch({"graph": torch.ones(20, 20), "x": X[:8]})
    assert of_minibatch((torch.ones(20, 20), X[:8]), 8).n == 8


def test_a_list_of_images_is_as_many_examples() -> None:
    images = [torch.rand(3, 9, 7 + i) for i in range(5)]
    for given_ in (images, (images, [{"boxes": torch.rand(i, 4)} for i in range(5)])):
        content = of_minibatch(given_, 5)
        assert content.n == 5
        assert [tuple(image.shape) for image in content.members[0].values] == [(3, 9, 7 + i) for i in range(5)]


def test_packed_sequences_are_their_sequences() -> None:
    sequences = [torch.randn(length, 2) for length in (2, 5, 3)]
    content = of_minibatch((pack_sequence(sequences, enforce_sorted=False), torch.arange(3)))
    assert content.n == 3
    assert all(torch.equal(a, b) for a, b in zip(content.members[0].values, sequences, strict=True))
    assert type(content.as_given()[0]).__name__ == "PackedSequence"


def test_a_minibatch_goes_back_to_what_it_was() -> None:
    for batch in (
        X,
        (X, torch.tensor(Y)),
        {"a": X, "b": {"c": X}},
        Pair(X, torch.tensor(Y)),
        ((X, X), torch.tensor(Y)),
    ):
        again = of_minibatch(batch).as_given()
        assert type(again) is type(batch)
        assert torch.equal(torch.cat(list(tensors(again)), 1), torch.cat(list(tensors(batch)), 1))


def tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree.float().reshape(len(tree), -1)
    else:
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from tensors(part)


def test_items_that_hold_other_members_are_told() -> None:
    with pytest.raises(ValueError, match="example 1 has no 'label', which the first has"):
        of_items([{"x": X[0], "label": 0}, {"x": X[1]}])


@pytest.mark.parametrize(
    ("thing", "several"),
    [
        ((torch.ones(8, 3), torch.arange(8)), True),
        ({"x": np.ones((8, 3)), "y": np.arange(8)}, True),
        (["a", "b"], True),
        ((torch.ones(3), 1), False),
        ("a text", False),
        (torch.ones(3), False),
        ((torch.ones(3, 8, 8), {"boxes": torch.ones(2, 4), "image_id": torch.tensor(1)}), False),
        (torch.ones(8, 3), None),
    ],
)
def test_what_is_a_minibatch_is_told_by_what_it_holds(thing: Any, several: bool | None) -> None:
    assert is_minibatch(thing) is several


def test_pictures_of_16_bits_are_neither_refused_nor_clipped() -> None:
    grey = np.full((9, 9), 40000, dtype=np.uint16)
    image = of_item(grey).members[0].values[0]
    assert np.asarray(image).max() == 40000
    colour = of_item(np.full((9, 9, 3), 257 * 77, dtype=np.uint16)).members[0].values[0]
    assert np.asarray(colour).max() == 77
