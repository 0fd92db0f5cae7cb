"""The examples of a minibatch in another order, whatever holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cka_plugin.capture.orders import doubled, exchanged, reordered


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 63, 64])
def test_every_example_changes_places_with_another(n: int) -> None:
    order = exchanged(n)
    assert sorted(order.tolist()) == list(range(n))
    assert not bool((order == torch.arange(n)).any())
    assert int((order[order] != torch.arange(n)).sum()) == (3 if n % 2 else 0)


def test_what_is_sorted_stays_sorted_where_examples_are_doubled() -> None:
    lengths = torch.tensor([9, 7, 7, 4, 1])
    assert lengths[doubled(5)].tolist() == sorted(lengths[doubled(5)].tolist(), reverse=True)


@dataclass
class Fields:
    x: Tensor
    scale: float = 2.0


def test_all_that_holds_one_entry_an_example_moves_alike_and_nothing_given_is_changed() -> None:
    order = exchanged(5)
    x = torch.arange(10.0).view(5, 2)
    given = {
        "tensor": x,
        "array": np.arange(5),
        "texts": ["a", "b", "c", "d", "e"],
        "nested": (x, [x, {"deep": x}]),
        "fields": Fields(x),
        "images of several sizes": [torch.full((3, 2 + i, 2), float(i)) for i in range(5)],
        "scale": torch.tensor(3.0),
        "table": torch.zeros(7, 5),
    }
    moved = reordered(given, order)
    places = order.tolist()
    assert torch.equal(moved["tensor"], x[order])
    assert moved["array"].tolist() == places
    assert moved["texts"] == [given["texts"][i] for i in places]
    assert torch.equal(moved["nested"][1][1]["deep"], x[order])
    assert torch.equal(moved["fields"].x, x[order])
    assert [int(image.mean()) for image in moved["images of several sizes"]] == places
    assert torch.equal(moved["table"], given["table"])
    assert moved["table"] is not given["table"]
    assert torch.equal(x, torch.arange(10.0).view(5, 2))


@pytest.mark.parametrize("enforced", [True, False])
def test_packed_sequences_move_by_example(enforced: bool) -> None:
    x, lengths = torch.randn(6, 5, 2), torch.tensor([5, 5, 3, 2, 2, 1])
    order = doubled(6) if enforced else exchanged(6)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=enforced)
    found, found_lengths = pad_packed_sequence(reordered(packed, order), batch_first=True)
    whole, _ = pad_packed_sequence(packed, batch_first=True)
    assert torch.equal(found_lengths, lengths[order])
    assert torch.equal(found, whole[order][:, : found.shape[1]])


def test_mappings_and_tuples_keep_their_types() -> None:
    from transformers import BatchEncoding
    from transformers.modeling_outputs import BaseModelOutput

    order = exchanged(4)
    encoding = reordered(BatchEncoding({"input_ids": torch.arange(4)}), order)
    assert isinstance(encoding, BatchEncoding)
    assert encoding["input_ids"].tolist() == order.tolist()
    output = reordered(BaseModelOutput(last_hidden_state=torch.arange(4)), order)
    assert output.last_hidden_state.tolist() == order.tolist()
    named = reordered(torch.return_types.max((torch.arange(4), torch.arange(4))), order)
    assert isinstance(named, tuple)
